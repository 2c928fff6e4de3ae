// The floor in Go: a device plugin on the kubelet's API that looks at nothing, notes nothing and always gives the same
// answer, as canned.py does. `canned FOLDER RESOURCE DEVICE...` registers with the kubelet in FOLDER. At SIGUSR1 the
// first device becomes unhealthy, or healthy again, and a list is sent.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "canned.sock"

type canned struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
	answer  *api.ContainerAllocateResponse
	changes chan os.Signal
}

func (c *canned) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (c *canned) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	for {
		if err := stream.Send(&api.ListAndWatchResponse{Devices: c.devices}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-c.changes:
			c.change()
		}
	}
}

func (c *canned) change() {
	if c.devices[0].Health == api.Healthy {
		c.devices[0].Health = api.Unhealthy
	} else {
		c.devices[0].Health = api.Healthy
	}
}

func (c *canned) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for range request.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, c.answer)
	}
	return answer, nil
}

func answer() *api.ContainerAllocateResponse {
	found := &api.ContainerAllocateResponse{Envs: map[string]string{}}
	for _, path := range []string{"/dev/vfio/vfio", "/dev/vfio/1"} {
		found.Devices = append(found.Devices, &api.DeviceSpec{HostPath: path, ContainerPath: path, Permissions: "mrw"})
	}
	for number := range 6 {
		found.Envs[fmt.Sprintf("PCIDEVICE_VIRTFN_DEV_POOL_%02d", number)] = strings.Repeat("0000:40:00.0", 4)
	}
	return found
}

func serve(folder, resource string, devices []string) error {
	plugin := &canned{answer: answer(), changes: make(chan os.Signal, 1)}
	signal.Notify(plugin.changes, syscall.SIGUSR1)
	for _, id := range devices {
		plugin.devices = append(plugin.devices, &api.Device{ID: id, Health: api.Healthy})
	}
	listener, err := net.Listen("unix", filepath.Join(folder, socket))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, plugin)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	kubelet := "unix://" + filepath.Join(folder, "kubelet.sock")
	connection, err := grpc.NewClient(kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	if _, err := api.NewRegistrationClient(connection).Register(context.Background(), request); err != nil {
		return err
	}
	return <-ended
}

func main() {
	if err := serve(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}
