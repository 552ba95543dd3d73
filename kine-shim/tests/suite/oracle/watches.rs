//! Watches on both servers, compared when they end.
//!
//! How many events come in one answer is a matter of time, so it is the events one after the other that must be the same,
//! and every answer about the watch itself.

use prost::Message;
use proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchResponse, watch_create_request::FilterType,
    watch_request::RequestUnion,
};
use proto::mvccpb::Event;

use super::{
    answers::{anonymous, share_of},
    requests::Start,
};
use crate::support::{Client, PATIENCE, Watching};

/// A watch on one server.
struct Side {
    stream: Watching,
    created: WatchResponse,
    /// What ended it already: its start was compacted.
    ended: Option<WatchResponse>,
}

/// The same watch on both.
struct Pair {
    request: WatchCreateRequest,
    /// The first revision it tells of.
    from: i64,
    ours: Side,
    theirs: Side,
}

/// All watches that are open.
#[derive(Default)]
pub(super) struct Watches(Vec<Pair>);

/// Most watches at the same time.
const MOST: usize = 12;

impl Watches {
    /// Starts a watch on both servers.
    pub(super) async fn start(
        &mut self,
        (ours, theirs): (&Client, &Client),
        request: &WatchCreateRequest,
        start: Start,
        revision: i64,
        compacted: i64,
    ) {
        if self.0.len() == MOST {
            return;
        }
        let start_revision = match start {
            Start::Past(share) => share_of(revision, share),
            Start::Now => 0,
            Start::Future(distance) => revision + distance,
        };
        let request = WatchCreateRequest {
            start_revision,
            ..request.clone()
        };
        let gone = start_revision > 0 && start_revision < compacted;
        let (ours, theirs) = (begin(ours, &request, gone).await, begin(theirs, &request, gone).await);
        same(&request, &ours.created, &theirs.created);
        let from = if start_revision == 0 {
            revision + 1
        } else {
            start_revision
        };
        match (&ours.ended, &theirs.ended) {
            (None, None) if ours.created.canceled => {}
            (None, None) => self.0.push(Pair {
                request,
                from,
                ours,
                theirs,
            }),
            (Some(ours), Some(theirs)) => same(&request, ours, theirs),
            _ => panic!("one of the watches was ended: {request:?}"),
        }
    }

    /// Ends all watches and compares what they have told; `history` is all that happened.
    pub(super) async fn finish(&mut self, history: &[Event]) {
        for Pair {
            request,
            from,
            mut ours,
            mut theirs,
        } in self.0.drain(..)
        {
            let count = history.iter().filter(|event| shows(&request, from, event)).count();
            let (ours, theirs) = (end(&mut ours, count).await, end(&mut theirs, count).await);
            for (ours, theirs) in ours.0.iter().zip(&theirs.0) {
                assert_eq!(
                    ours.encode_to_vec(),
                    theirs.encode_to_vec(),
                    "{request:?}: {ours:?}, {theirs:?}"
                );
            }
            assert_eq!(ours.0.len(), theirs.0.len(), "{request:?}");
            same(&request, &ours.1, &theirs.1);
        }
    }
}

async fn begin(client: &Client, request: &WatchCreateRequest, gone: bool) -> Side {
    let mut stream = client.stream().await;
    stream.create(request.clone());
    let created = stream.next().await;
    let ended = match gone && !created.canceled {
        true => Some(stream.next().await),
        false => None,
    };
    Side { stream, created, ended }
}

/// Waits for so many events, cancels the watch, and returns all there were and the last word.
async fn end(side: &mut Side, count: usize) -> (Vec<Event>, WatchResponse) {
    let mut events = Vec::new();
    let all = async {
        while events.len() < count {
            let response = side.stream.next().await;
            assert!(!response.canceled, "{response:?}");
            events.extend(response.events);
        }
    };
    // Word of progress may come for ever.
    let in_time = tokio::time::timeout(PATIENCE, all).await;
    assert!(in_time.is_ok(), "{} of {count} events came", events.len());
    let cancel = WatchCancelRequest {
        watch_id: side.created.watch_id,
    };
    side.stream.send(RequestUnion::CancelRequest(cancel));
    loop {
        let response = side.stream.next().await;
        if response.canceled {
            return (events, response);
        }
        events.extend(response.events);
    }
}

/// Whether a watch tells of an event.
fn shows(request: &WatchCreateRequest, from: i64, event: &Event) -> bool {
    let Some(kv) = &event.kv else { return false };
    let in_range = match request.range_end.as_ref() {
        b"" => kv.key == request.key,
        b"\0" => kv.key >= request.key,
        end => kv.key >= request.key && kv.key < end,
    };
    let filter = match event.r#type {
        0 => FilterType::Noput,
        _ => FilterType::Nodelete,
    };
    in_range && kv.mod_revision >= from && !request.filters.contains(&filter.into())
}

fn same(request: &WatchCreateRequest, ours: &WatchResponse, theirs: &WatchResponse) {
    let bare = |response: &WatchResponse| {
        let mut response = response.clone();
        anonymous(&mut response.header);
        response
    };
    let (ours, theirs) = (bare(ours), bare(theirs));
    assert_eq!(
        ours.encode_to_vec(),
        theirs.encode_to_vec(),
        "{request:?}: {ours:?}, {theirs:?}"
    );
}
