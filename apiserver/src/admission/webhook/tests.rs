//! Webhooks of both kinds.
