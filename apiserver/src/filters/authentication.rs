//! Finds out who asks (k8s.io/apiserver `endpoints/filters/authentication.go`).

use super::Refusal;
use crate::authentication::request_header::Client;
use crate::authentication::{Authenticator, User};
use http::HeaderMap;
use machinery::status::Status;

/// The user of the request.
///
/// # Errors
/// 401 when there are credentials and none of them is good.
pub async fn filter(authenticator: &Authenticator, client: &Client, headers: &HeaderMap) -> Result<User, Refusal> {
    let user = authenticator.authenticate(client, headers).await;
    user.ok_or_else(|| Status::unauthorized().into())
}
