"""What is there: files of /sys and /proc that answer at once."""
