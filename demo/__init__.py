"""The demo: CNIChain doing its job on a local control plane."""
