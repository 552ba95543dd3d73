//! The API over HTTP: which path and method does what, media types, options, bodies and answers
//! (k8s.io/apiserver `pkg/endpoints`).

pub mod api;
pub mod body;
pub mod discovery;
pub mod handlers;
pub mod installer;
pub mod negotiation;
pub mod oidc;
pub mod openapi;
pub mod options;
pub mod pages;
pub mod query;
pub mod respond;
pub mod table;
pub mod yaml;
