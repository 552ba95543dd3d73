//! Kubernetes object machinery: pure functions over objects, no IO.
