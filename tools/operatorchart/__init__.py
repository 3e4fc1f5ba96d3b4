"""The Helm chart of the operator, deploy/chart: all of it is made from deploy/base, crds/ and one table of values."""
