"""The verb topology: a picture of a node, in the terminal or as SVG."""

import argparse

from virtfn_host.core.values.codec import encode
from virtfn_kubectl.asked import fleet_of
from virtfn_kubectl.cluster import Cluster
from virtfn_kubectl.errors import NotThereError
from virtfn_kubectl.judge.drawn import drawn
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import DONE, REFUSED
from virtfn_kubectl.tell.node_drawing import node_drawing
from virtfn_kubectl.tell.picture import picture_text
from virtfn_kubectl.tell.shapes import svg


def show_topology(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print or write the picture of a node."""
    fleet = fleet_of(cluster)
    node = fleet.node(options.node)
    if node is None:
        raise NotThereError(f"there is no node {options.node}; there are {some([it.name for it in fleet.nodes])}")
    for line in node.unread:
        screen.complain(line)
    picture = drawn(node)
    screen.document(encode(picture))
    if options.output is None:
        screen.say(picture_text(picture, screen.paint))
    else:
        options.output.write_text(svg(node_drawing(picture)), encoding="utf-8")
        screen.say(f"wrote {options.output}")
    return REFUSED if node.state.unknown else DONE
