//! Records Events in the background: recording never blocks or fails the caller, and repetitions raise a counter.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tracing::debug;

/// Events that wait to be written; more are dropped, as upstream's broadcaster does.
const QUEUE_LENGTH: usize = 1000;
/// Recent events that are remembered so that a repetition is counted instead of written anew.
const REMEMBERED: usize = 1024;

/// The two types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Something happened as it should.
    Normal,
    /// Something did not work.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

struct Entry {
    component: Cow<'static, str>,
    host: Option<String>,
    action: Option<String>,
    regarding: ObjectReference,
    severity: Severity,
    reason: String,
    message: String,
}

/// Accepts events of one component; clones share the same queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    component: &'static str,
    host: Option<String>,
    queue: mpsc::Sender<Entry>,
}

/// Writes the events a [`Recorder`] accepts.
pub struct Writer {
    client: Client,
    queue: mpsc::Receiver<Entry>,
    recent: HashMap<Repeated, (String, i32)>,
}

/// Two entries with the same of these are repetitions of one event.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Repeated {
    regarding: String,
    field_path: Option<String>,
    severity: Severity,
    reason: String,
    message: String,
}

impl Recorder {
    /// A recorder for `component` and the task that writes what it accepts.
    #[must_use]
    pub fn new(client: Client, component: &'static str) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let writer = Writer {
            client,
            queue: receiver,
            recent: HashMap::new(),
        };
        (
            Self {
                component,
                host: None,
                queue: sender,
            },
            writer,
        )
    }

    /// The same recorder for another component of this process.
    #[must_use]
    pub fn for_component(&self, component: &'static str) -> Self {
        Self {
            component,
            ..self.clone()
        }
    }

    /// The same recorder for the component's instance on a node.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Self {
        Self {
            host: Some(node.to_owned()),
            ..self.clone()
        }
    }

    /// Records an event about an object of a built-in kind.
    pub fn event<K>(&self, regarding: &K, severity: Severity, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.event_about(regarding.object_ref(&()), severity, reason, message);
    }

    /// Records an event about whatever the reference names.
    pub fn event_about(
        &self,
        regarding: ObjectReference,
        severity: Severity,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.send(Entry {
            component: self.component.into(),
            host: self.host.clone(),
            action: None,
            regarding,
            severity,
            reason: reason.to_owned(),
            message: message.into(),
        });
    }

    /// The same of a component with this name, which says what it was doing.
    pub fn event_of_action(
        &self,
        (component, action): (String, String),
        regarding: ObjectReference,
        severity: Severity,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.send(Entry {
            component: component.into(),
            host: self.host.clone(),
            action: Some(action),
            regarding,
            severity,
            reason: reason.to_owned(),
            message: message.into(),
        });
    }

    fn send(&self, entry: Entry) {
        if let Err(dropped) = self.queue.try_send(entry) {
            let reason = dropped.into_inner().reason;
            debug!(reason, "dropped an event: too many are waiting to be written");
        }
    }
}

impl Writer {
    /// Writes events until every recorder is gone. What cannot be written is dropped: events are best effort.
    pub async fn run(mut self) {
        while let Some(entry) = self.queue.recv().await {
            let about = format!(
                "{}/{}",
                entry.regarding.kind.as_deref().unwrap_or_default(),
                entry.regarding.name()
            );
            let reason = entry.reason.clone();
            if let Err(error) = self.write(entry).await {
                debug!(about, reason, %error, "dropped an event");
            }
        }
    }

    async fn write(&mut self, entry: Entry) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let namespace = entry
            .regarding
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let repeated = entry.repeated();
        if let Some((name, count)) = self.recent.get_mut(&repeated) {
            let patch = serde_json::json!({ "count": *count + 1, "lastTimestamp": Time(now) });
            match events.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {
                    *count += 1;
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = entry.into_event(&namespace, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        events.create(&PostParams::default(), &event).await?;
        if self.recent.len() >= REMEMBERED {
            self.recent.clear();
        }
        self.recent.insert(repeated, (name, 1));
        Ok(())
    }
}

/// The name part of a reference, empty when there is none.
trait Named {
    fn name(&self) -> &str;
}

impl Named for ObjectReference {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

impl Entry {
    fn repeated(&self) -> Repeated {
        let uid = self.regarding.uid.as_deref().unwrap_or_default();
        Repeated {
            regarding: format!("{uid}/{}", self.regarding.name()),
            field_path: self.regarding.field_path.clone(),
            severity: self.severity,
            reason: self.reason.clone(),
            message: self.message.clone(),
        }
    }

    fn into_event(self, namespace: &str, now: Timestamp) -> Event {
        let name = format!("{}.{:016x}", self.regarding.name(), now.as_nanosecond());
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: self.regarding,
            type_: Some(self.severity.as_str().to_owned()),
            reason: Some(self.reason),
            message: Some(self.message),
            source: Some(EventSource {
                component: Some(self.component.clone().into_owned()),
                host: self.host.clone(),
            }),
            action: self.action,
            reporting_instance: self.host,
            reporting_component: Some(self.component.into_owned()),
            count: Some(1),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_about_whom_and_when() {
        let regarding = ObjectReference {
            kind: Some("Pod".into()),
            name: Some("web".into()),
            namespace: Some("shop".into()),
            uid: Some("u1".into()),
            ..ObjectReference::default()
        };
        let entry = Entry {
            component: "kubelet".into(),
            host: Some("node-1".into()),
            action: Some("Starting".into()),
            regarding,
            severity: Severity::Warning,
            reason: "FailedCreate".into(),
            message: "no".into(),
        };
        let event = entry.into_event("shop", Timestamp::from_second(1).unwrap());
        assert_eq!(event.metadata.name.as_deref(), Some("web.000000003b9aca00"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let source = event.source.unwrap();
        assert_eq!(
            (source.component.as_deref(), source.host.as_deref()),
            (Some("kubelet"), Some("node-1"))
        );
        assert_eq!(event.reporting_instance.as_deref(), Some("node-1"));
        assert_eq!(event.reporting_component.as_deref(), Some("kubelet"));
        assert_eq!(event.action.as_deref(), Some("Starting"));
        assert_eq!(
            (event.count, event.involved_object.uid.as_deref()),
            (Some(1), Some("u1"))
        );
    }
}
