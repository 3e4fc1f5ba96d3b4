"""CNIChain: a Kubernetes operator that chains Cilium and Hubble after the CNI that a cluster already has."""

__version__ = "0.1.0"
