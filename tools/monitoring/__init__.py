"""Alerts, dashboards and the page of metrics, made from code by tools/generate.py."""
