package prove

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Apart runs the program again with args in a network of its own, in which no machine is but this process; ok is false where the
// system does not let it. It takes no rights: an ordinary user gets one beside a user namespace.
func Apart(ctx context.Context, program string, args []string, out, errs io.Writer) (code int, ok bool) {
	for _, flags := range []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, syscall.CLONE_NEWNET} {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.Stdout, cmd.Stderr = out, errs
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		if cmd.Start() != nil {
			continue
		}
		err := cmd.Wait()
		var ended *exec.ExitError
		switch {
		case err == nil:
			return 0, true
		case errors.As(err, &ended):
			return ended.ExitCode(), true
		}
	}
	return 0, false
}

// everywhere makes every address in the world one of this network's own: the loopback device goes up, and a route brings everything
// to it. What listens on a port then listens on that port of every machine there is.
func everywhere() error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("prove: the network apart: %w", err)
	}
	defer syscall.Close(fd)
	// struct ifinfomsg: the device 1 goes up.
	link := make([]byte, 16)
	binary.NativeEndian.PutUint32(link[4:], 1)
	binary.NativeEndian.PutUint32(link[8:], syscall.IFF_UP)
	binary.NativeEndian.PutUint32(link[12:], syscall.IFF_UP)
	if err := netlink(fd, syscall.RTM_NEWLINK, 0, link); err != nil {
		return fmt.Errorf("prove: the network apart: %w", err)
	}
	for _, family := range []byte{syscall.AF_INET, syscall.AF_INET6} {
		// struct rtmsg: a local route to everywhere; then its device as an attribute.
		scope := byte(syscall.RT_SCOPE_HOST)
		if family == syscall.AF_INET6 {
			scope = syscall.RT_SCOPE_UNIVERSE
		}
		route := []byte{family, 0, 0, 0, syscall.RT_TABLE_LOCAL, syscall.RTPROT_BOOT, scope, syscall.RTN_LOCAL, 0, 0, 0, 0}
		route = binary.NativeEndian.AppendUint16(route, 8)
		route = binary.NativeEndian.AppendUint16(route, syscall.RTA_OIF)
		route = binary.NativeEndian.AppendUint32(route, 1)
		if err := netlink(fd, syscall.RTM_NEWROUTE, syscall.NLM_F_CREATE, route); err != nil && family == syscall.AF_INET {
			return fmt.Errorf("prove: the network apart: %w", err)
		} // where there is no IPv6, nothing goes there either
	}
	return nil
}

// netlink sends one message to the kernel and waits until it is done.
func netlink(fd int, kind uint16, flags uint16, body []byte) error {
	m := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|flags)
	m = append(m, 1, 0, 0, 0, 0, 0, 0, 0)
	m = append(m, body...)
	if err := syscall.Sendto(fd, m, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < syscall.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != syscall.NLMSG_ERROR {
		return errors.New("the kernel did not answer")
	}
	if e := int32(binary.NativeEndian.Uint32(answer[syscall.NLMSG_HDRLEN:])); e != 0 {
		return syscall.Errno(-e)
	}
	return nil
}

// answersItself has datagrams of a socket come with the address they were sent to, so that the answer can come from there.
func answersItself(c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
	}), err)
}

// push has what lies in memory written to the disk without a flush after it, as the kernel does every few seconds.
func push(f *os.File) {
	const begin = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), 0, 0, begin)
}
