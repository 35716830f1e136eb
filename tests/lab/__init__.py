"""The lab: pods, Erlang nodes, epmd daemons and a stand-in Kubernetes API, driven from Python.

The integration tests and the demo both use it. Standard library only.
"""
