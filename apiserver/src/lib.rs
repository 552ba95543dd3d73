//! A Kubernetes API server.
