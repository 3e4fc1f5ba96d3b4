"""One real node: containerd, runc, kubelet and real CNI plugins in folders and namespaces of their own.

The node joins a local control plane (cnichain.dev.controlplane). It lives in a mount, network and PID namespace whose
first process dies with the test process: the kernel then ends all that ran there, containers too, and takes the mounts,
links, addresses, rules and chains along. Nothing of it can be seen, or left, on the machine itself but two things that
`RealNode.run` removes: its cgroups and its folder.
"""
