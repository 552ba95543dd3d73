//! A Kubernetes API server. The layers, from the outside in: `server` → `filters` → `endpoints` → `registry` →
//! `storage`; `resources` defines every built-in kind and sees only `registry` and `machinery`.

pub mod admin;
pub mod admission;
pub mod aggregator;
pub mod apiextensions;
pub mod app;
pub mod authentication;
pub mod authorization;
pub mod bootstrap;
pub mod components;
pub mod controllers;
pub mod endpoints;
pub mod filters;
pub mod kubelet;
pub mod manifests;
pub mod metrics;
pub mod options;
pub mod proxy;
pub mod registry;
pub mod resources;
pub mod server;
pub mod storage;
pub mod webhook;
