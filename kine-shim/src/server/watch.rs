//! Service Watch: what a client asks for and how events become answers. The life of a stream is in
//! [`super::watch_session`].

use std::sync::Arc;

use prost::Message;
use proto::{
    etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType, watch_server},
    mvccpb::{Event, event::EventType},
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    Services,
    outbox::{Answers, outbox},
    watch_session::Session,
};

/// What a client wants to see of the events of a watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    puts: bool,
    deletes: bool,
    prev_kv: bool,
    fragment: bool,
}

impl View {
    pub(super) fn new(request: &WatchCreateRequest) -> Self {
        let filters = |filter: FilterType| request.filters().any(|wanted| wanted == filter);
        Self {
            puts: !filters(FilterType::Noput),
            deletes: !filters(FilterType::Nodelete),
            prev_kv: request.prev_kv,
            fragment: request.fragment,
        }
    }

    /// The event as the client sees it, `None` if it does not.
    pub(super) fn show(&self, event: &Event) -> Option<Event> {
        let shown = if event.r#type == i32::from(EventType::Delete) {
            self.deletes
        } else {
            self.puts
        };
        shown.then(|| Event {
            r#type: event.r#type,
            kv: event.kv.clone(),
            prev_kv: if self.prev_kv { event.prev_kv.clone() } else { None },
        })
    }

    /// Takes an answer apart when it is too large for one message and the client can put it together again
    /// (etcd: `sendFragments`).
    pub(super) fn fragments(&self, mut response: WatchResponse, limit: usize) -> Vec<WatchResponse> {
        if !self.fragment || response.events.len() < 2 || response.encoded_len() < limit {
            return vec![response];
        }
        let events = std::mem::take(&mut response.events);
        let mut fragments = Vec::new();
        let mut current = response.clone();
        let mut size = current.encoded_len();
        for event in events {
            // Tag and length of the event come on top.
            let cost = event.encoded_len() + 6;
            if !current.events.is_empty() && size + cost >= limit {
                current.fragment = true;
                fragments.push(std::mem::replace(&mut current, response.clone()));
                size = current.encoded_len();
            }
            size += cost;
            current.events.push(event);
        }
        fragments.push(current);
        fragments
    }
}

#[async_trait]
impl watch_server::Watch for Services {
    type WatchStream = Answers<WatchResponse>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let (outbox, answers) = outbox(self.settings.limits.slow_watcher_timeout);
        let session = Session::new(self.store.clone(), outbox, Arc::clone(&self.settings));
        self.tasks
            .spawn_finite("watch", session.run(request.into_inner(), self.tasks.shutdown()));
        Ok(Response::new(answers))
    }
}

#[cfg(test)]
mod tests {
    use proto::mvccpb::KeyValue;

    use super::*;

    const LIMIT: usize = 2 << 20;

    fn event(kind: EventType, size: usize) -> Event {
        let kv = KeyValue {
            key: "k".into(),
            value: vec![0; size].into(),
            ..Default::default()
        };
        Event {
            r#type: kind.into(),
            kv: Some(kv.clone()),
            prev_kv: Some(kv),
        }
    }

    fn view(request: WatchCreateRequest) -> View {
        View::new(&request)
    }

    #[test]
    fn filters_drop_and_prev_kv_is_only_for_who_asked() {
        let plain = view(WatchCreateRequest::default());
        assert_eq!(
            plain.show(&event(EventType::Put, 1)).map(|event| event.prev_kv),
            Some(None)
        );
        let filters = vec![FilterType::Noput.into()];
        let deletes = view(WatchCreateRequest {
            filters,
            prev_kv: true,
            ..Default::default()
        });
        assert_eq!(deletes.show(&event(EventType::Put, 1)), None);
        assert!(
            deletes
                .show(&event(EventType::Delete, 1))
                .is_some_and(|event| event.prev_kv.is_some())
        );
    }

    #[test]
    fn fragments_carry_every_event_once_and_stay_small() {
        let whole = WatchResponse {
            watch_id: 3,
            events: (0..10).map(|_| event(EventType::Put, 200 << 10)).collect(),
            ..Default::default()
        };
        let together = view(WatchCreateRequest::default()).fragments(whole.clone(), LIMIT);
        assert_eq!(together.len(), 1);
        let fragments = view(WatchCreateRequest {
            fragment: true,
            ..Default::default()
        })
        .fragments(whole, LIMIT);
        assert!(fragments.len() > 1);
        assert_eq!(
            fragments.iter().map(|fragment| fragment.events.len()).sum::<usize>(),
            10
        );
        let last = fragments.len() - 1;
        for (at, fragment) in fragments.iter().enumerate() {
            assert_eq!((fragment.fragment, fragment.watch_id), (at != last, 3));
            assert!(fragment.encoded_len() < LIMIT);
        }
    }
}
