//! Answers about mappings and lag, and the order to look at everything again.

use std::sync::Arc;

use proto::vcluster::syncer::v1::get_mapping_request::Object;
use proto::vcluster::syncer::v1::syncer_server::Syncer;
use proto::vcluster::syncer::v1::{
    Direction, GetMappingRequest, GetMappingResponse, Kind as KindState, ListKindsRequest, ListKindsResponse,
    ListMappingsRequest, ListMappingsResponse, Mapping as MappingRecord, ObjectName, ResyncRequest, ResyncResponse,
};
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::kinds::Kind;
use crate::names::{Mapping, Mappings, Reference};
use crate::object::ObjectKey;
use crate::resources;

/// Mappings per page when the client does not say.
const PAGE: usize = 500;

/// The gRPC service.
pub(super) struct Admin {
    engine: Arc<Engine>,
}

impl Admin {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

/// `plural` or `plural.group`.
fn resource_name(kind: Kind) -> String {
    if kind.group().is_empty() {
        kind.plural().to_owned()
    } else {
        format!("{}.{}", kind.plural(), kind.group())
    }
}

fn parse_resource(name: &str) -> Result<Option<Kind>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let mut synced = resources::TABLE.iter().map(|resource| resource.kind);
    let kind = synced.find(|kind| resource_name(*kind) == name);
    kind.map(Some)
        .ok_or_else(|| Status::invalid_argument(format!("resource: {name:?} is not synced")))
}

fn object_name(key: &ObjectKey) -> ObjectName {
    ObjectName {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

fn record(mappings: &Mappings, item: &Reference, mapping: &Mapping) -> MappingRecord {
    let referenced_by = mappings
        .referrers(item)
        .iter()
        .map(|owner| format!("{}/{}", owner.kind.plural(), owner.key))
        .collect();
    MappingRecord {
        resource: resource_name(item.kind),
        r#virtual: Some(object_name(&item.key)),
        host: Some(object_name(&mapping.host)),
        referenced_by,
    }
}

#[tonic::async_trait]
impl Syncer for Admin {
    async fn list_mappings(
        &self,
        request: Request<ListMappingsRequest>,
    ) -> Result<Response<ListMappingsResponse>, Status> {
        let request = request.into_inner();
        let kind = parse_resource(&request.resource)?;
        let page = match request.page_size {
            0 => PAGE,
            size => usize::try_from(size).unwrap_or(PAGE).min(PAGE),
        };
        let mappings = self.engine.world().mappings();
        let selected = mappings.iter().filter(|(item, _)| {
            kind.is_none_or(|kind| item.kind == kind)
                && (request.virtual_namespace.is_empty() || item.key.namespace == request.virtual_namespace)
        });
        // The token is the last item of the page before.
        let mut rest =
            selected.skip_while(|(item, _)| !request.page_token.is_empty() && item.store_key() != request.page_token);
        if !request.page_token.is_empty() && rest.next().is_none() {
            return Err(Status::invalid_argument(
                "page_token: the list changed; begin again without a token",
            ));
        }
        let items: Vec<_> = rest.by_ref().take(page).collect();
        let more = rest.next().is_some();
        let next_page_token = items
            .last()
            .filter(|_| more)
            .map(|(item, _)| item.store_key())
            .unwrap_or_default();
        let mappings = items
            .iter()
            .map(|(item, mapping)| record(&mappings, item, mapping))
            .collect();
        Ok(Response::new(ListMappingsResponse {
            mappings,
            next_page_token,
        }))
    }

    async fn get_mapping(&self, request: Request<GetMappingRequest>) -> Result<Response<GetMappingResponse>, Status> {
        let request = request.into_inner();
        let kind = parse_resource(&request.resource)?
            .ok_or_else(|| Status::invalid_argument("resource: name the resource, as in pods"))?;
        let mappings = self.engine.world().mappings();
        let is = |name: &ObjectName, key: &ObjectKey| name.namespace == key.namespace && name.name == key.name;
        let found = match &request.object {
            None => return Err(Status::invalid_argument("object: give the virtual or the host name")),
            Some(object) => mappings.iter().find(|(item, mapping)| {
                item.kind == kind
                    && match object {
                        Object::Virtual(name) => is(name, &item.key),
                        Object::Host(name) => is(name, &mapping.host),
                    }
            }),
        };
        let (item, mapping) = found.ok_or_else(|| Status::not_found("there is no such pair"))?;
        Ok(Response::new(GetMappingResponse {
            mapping: Some(record(&mappings, item, mapping)),
        }))
    }

    async fn list_kinds(&self, _: Request<ListKindsRequest>) -> Result<Response<ListKindsResponse>, Status> {
        let world = self.engine.world();
        let kinds = resources::enabled(&world.settings).map(|resource| {
            let state = self.engine.state_of(resource.kind);
            KindState {
                resource: resource_name(resource.kind),
                direction: match resource.direction {
                    resources::Direction::ToHost => Direction::ToHost,
                    resources::Direction::FromHost => Direction::FromHost,
                }
                .into(),
                synced: self.engine.is_running(),
                queued: state.queued,
                retrying: state.retrying,
                lag_milliseconds: u64::try_from(state.lag.as_millis()).unwrap_or(u64::MAX),
                virtual_objects: world.virtual_side.of(resource.kind).len() as u64,
                host_objects: world.host.of(resource.kind).len() as u64,
                last_error: state.last_error,
            }
        });
        Ok(Response::new(ListKindsResponse { kinds: kinds.collect() }))
    }

    async fn resync(&self, request: Request<ResyncRequest>) -> Result<Response<ResyncResponse>, Status> {
        let kind = parse_resource(&request.into_inner().resource)?;
        let queued = self.engine.resync(kind);
        Ok(Response::new(ResyncResponse { queued: queued as u64 }))
    }
}
