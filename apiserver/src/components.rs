//! The other components of the control plane and how they are, for `componentstatuses` (kubernetes
//! `pkg/registry/core/componentstatus`): asked when somebody wants to know, and never remembered.

use crate::kubelet::{Security, Transport};
use crate::registry::unstored::Unstored;
use crate::server::request::empty;
use crate::storage::etcd3::Connection;
use crate::storage::interface::{
    Error, ListOptions, Listed, Preconditions, Revision, Storage, UpdateFn, Watch, WatchOptions,
};
use bytes::Bytes;
use chassis::Tasks;
use futures::future::BoxFuture;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use machinery::object::{Index, Selectable, Stored};
use machinery::status::Status;
use serde_json::json;
use std::time::Duration;

/// Components that answer on this machine, with their ports.
const LOCAL: [(&str, u16); 2] = [("scheduler", 10259), ("controller-manager", 10257)];
/// Who does not answer within this time is not well.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 10 * 1024;

/// Asks the components.
pub struct Components {
    transport: Transport,
    tasks: Tasks,
    store: Connection,
    /// How many servers the store has (`--etcd-servers`).
    stores: usize,
}

/// What a component says, or why it does not.
type Answer = Result<String, String>;

impl Components {
    /// Asks scheduler and controller manager on this machine, and the servers of the store.
    pub fn new(transport: Transport, tasks: Tasks, store: Connection, stores: usize) -> Self {
        Components {
            transport,
            tasks,
            store,
            stores,
        }
    }

    fn names(&self) -> Vec<String> {
        let stores = (0..self.stores).map(|i| format!("etcd-{i}"));
        LOCAL.iter().map(|(name, _)| (*name).to_owned()).chain(stores).collect()
    }

    async fn ask(&self, name: &str) -> Stored {
        let asked = async {
            match LOCAL.iter().find(|(local, _)| *local == name) {
                Some((_, port)) => self.ask_local(*port).await,
                None => self
                    .store
                    .state()
                    .await
                    .map(|_| "ok".to_owned())
                    .map_err(|error| error.to_string()),
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        status(
            name,
            answer.unwrap_or_else(|_| Err("context deadline exceeded".to_owned())),
        )
    }

    async fn ask_local(&self, port: u16) -> Answer {
        const HOST: &str = "127.0.0.1";
        let url = format!("https://{HOST}:{port}/healthz");
        let request = Request::get("/healthz")
            .header(header::HOST, format!("{HOST}:{port}"))
            .body(empty());
        let request = request.map_err(|error| error.to_string())?;
        let sent = self
            .transport
            .pass(&Security::Encrypted, (HOST, port), request, &self.tasks)
            .await;
        let answer = sent.map_err(|why| format!("Get {url:?}: {why}"))?;
        let code = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let text = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
        if code != StatusCode::OK {
            return Err(format!("HTTP probe failed with statuscode: {}", code.as_u16()));
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn status(name: &str, answer: Answer) -> Stored {
    let (status, message) = match answer {
        Ok(text) => ("True", text),
        Err(why) => ("False", why),
    };
    let object = json!({
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [{"type": "Healthy", "status": status, "message": message}],
    });
    Stored {
        bytes: crate::registry::codec::to_bytes(&object),
        revision: 0,
        index: Index::of(&object, &Selectable::NONE).into(),
    }
}

impl Storage for Components {
    fn get<'a>(&'a self, _: &'a str, name: &'a str, _: Revision) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            if self.names().iter().any(|known| known == name) {
                return Ok(self.ask(name).await);
            }
            Err(Error::NotFound { key: name.to_owned() })
        })
    }

    fn list<'a>(&'a self, options: ListOptions) -> BoxFuture<'a, Result<Listed, Error>> {
        Box::pin(async move {
            let names = self.names();
            let asked = futures::future::join_all(names.iter().map(|name| self.ask(name))).await;
            Ok(Listed {
                items: asked
                    .into_iter()
                    .filter(|object| options.scope.contains(object))
                    .collect(),
                revision: 0,
                continue_token: String::new(),
                remaining: None,
            })
        })
    }

    fn watch<'a>(&'a self, options: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>> {
        Unstored.watch(options)
    }

    fn create<'a>(&'a self, namespace: &'a str, name: &'a str, value: Bytes) -> BoxFuture<'a, Result<Stored, Error>> {
        Unstored.create(namespace, name, value)
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        update: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>> {
        Unstored.update(namespace, name, preconditions, update)
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        check: &'a mut (dyn FnMut(&Stored) -> Result<(), Box<Status>> + Send + 'a),
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Unstored.delete(namespace, name, preconditions, check)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.names().len() as u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_conditions() {
        for (answer, expected) in [
            (
                Ok("ok".to_owned()),
                json!({"type": "Healthy", "status": "True", "message": "ok"}),
            ),
            (
                Err("no".to_owned()),
                json!({"type": "Healthy", "status": "False", "message": "no"}),
            ),
        ] {
            let object: serde_json::Value = serde_json::from_slice(&status("scheduler", answer).bytes).unwrap();
            assert_eq!(object["conditions"], json!([expected]));
            assert_eq!(object["metadata"], json!({"name": "scheduler"}));
        }
    }
}
