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
use crate::settings::Settings;

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

/// The kind of a resource; none when no resource is named, an error when it is not synced.
fn parse_resource(settings: &Settings, name: &str) -> Result<Option<Kind>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let mut synced = resources::enabled(settings).map(|resource| resource.kind);
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
        let kind = parse_resource(&self.engine.world().settings, &request.resource)?;
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
        let kind = parse_resource(&self.engine.world().settings, &request.resource)?
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
        let kind = parse_resource(&self.engine.world().settings, &request.into_inner().resource)?;
        let queued = self.engine.resync(kind);
        Ok(Response::new(ResyncResponse { queued: queued as u64 }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tonic::Code;

    use super::*;
    use crate::kinds::{CustomKind, Side};
    use crate::resources::custom;
    use crate::testing::{engine, settings};
    use crate::world::World;

    /// A virtual cluster with databases besides what all have, and three recorded pairs.
    fn admin() -> Admin {
        let mut settings = settings();
        let databases = CustomKind {
            group: "db.example.com".into(),
            version: "v1".into(),
            plural: "databases".into(),
            kind: "Database".into(),
            namespaced: true,
            status: true,
        };
        let line = custom::line(databases, resources::Direction::ToHost);
        settings.custom.push(line);
        let world = World::new(settings);
        let map = Reference::new(Kind::ConfigMap, "team", "settings");
        let host = |item: &Reference| world.host_key(item.kind, &item.key.namespace, &item.key.name);
        for item in [
            Reference::new(Kind::Pod, "team", "web"),
            Reference::new(line.kind, "other", "main"),
        ] {
            let references = match item.kind {
                Kind::Pod => [(map.clone(), host(&map))].into(),
                _ => Default::default(),
            };
            let mapping = Mapping {
                host: host(&item),
                references,
            };
            world.mappings().record(&item, mapping);
        }
        let mapping = Mapping {
            host: host(&map),
            references: Default::default(),
        };
        world.mappings().record(&map, mapping);
        for namespace in ["team", "other"] {
            world.put(
                Side::Virtual,
                Kind::ConfigMap,
                json!({
                    "metadata": {"namespace": namespace, "name": "settings", "uid": namespace, "resourceVersion": "1"},
                }),
            );
        }
        Admin::new(engine(world))
    }

    async fn list(admin: &Admin, request: ListMappingsRequest) -> Result<(Vec<String>, String), Code> {
        let answer = admin.list_mappings(Request::new(request)).await;
        let answer = answer.map_err(|status| status.code())?.into_inner();
        let name = |record: &MappingRecord| {
            let host = record.host.clone().unwrap_or_default();
            format!(
                "{} {}/{} {:?}",
                record.resource, host.namespace, host.name, record.referenced_by
            )
        };
        Ok((answer.mappings.iter().map(name).collect(), answer.next_page_token))
    }

    #[tokio::test]
    async fn mappings_are_listed_page_by_page() {
        let admin = admin();
        let all = [
            "pods host/web-x-team-x-vc []",
            "configmaps host/settings-x-team-x-vc [\"pods/team/web\"]",
            "databases.db.example.com host/main-x-other-x-vc []",
        ];
        let (listed, token) = list(&admin, ListMappingsRequest::default()).await.unwrap();
        assert_eq!((listed, token.as_str()), (all.map(str::to_owned).to_vec(), ""));
        let mut seen = Vec::new();
        let mut request = ListMappingsRequest {
            page_size: 1,
            ..Default::default()
        };
        for _ in 0..all.len() {
            let (listed, token) = list(&admin, request.clone()).await.unwrap();
            seen.extend(listed);
            request.page_token = token;
        }
        assert_eq!(
            (seen, request.page_token.as_str()),
            (all.map(str::to_owned).to_vec(), "")
        );
        for (resource, namespace, expected) in [
            ("configmaps", "", vec![all[1]]),
            ("databases.db.example.com", "", vec![all[2]]),
            ("", "team", vec![all[0], all[1]]),
            ("secrets", "", vec![]),
        ] {
            let request = ListMappingsRequest {
                resource: resource.to_owned(),
                virtual_namespace: namespace.to_owned(),
                ..Default::default()
            };
            assert_eq!(
                list(&admin, request).await.unwrap().0,
                expected,
                "{resource} {namespace}"
            );
        }
        for request in [
            ListMappingsRequest {
                resource: "leases".to_owned(),
                ..Default::default()
            },
            ListMappingsRequest {
                page_token: "gone".to_owned(),
                ..Default::default()
            },
        ] {
            assert_eq!(list(&admin, request).await.unwrap_err(), Code::InvalidArgument);
        }
    }

    #[tokio::test]
    async fn a_pair_is_found_from_either_side() {
        let admin = admin();
        let name = |namespace: &str, name: &str| ObjectName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let table = [
            (
                "pods",
                Some(Object::Virtual(name("team", "web"))),
                Ok("web-x-team-x-vc"),
            ),
            (
                "pods",
                Some(Object::Host(name("host", "web-x-team-x-vc"))),
                Ok("web-x-team-x-vc"),
            ),
            ("pods", Some(Object::Host(name("team", "web"))), Err(Code::NotFound)),
            (
                "configmaps",
                Some(Object::Virtual(name("team", "web"))),
                Err(Code::NotFound),
            ),
            (
                "",
                Some(Object::Virtual(name("team", "web"))),
                Err(Code::InvalidArgument),
            ),
            ("pods", None, Err(Code::InvalidArgument)),
        ];
        for (resource, object, expected) in table {
            let request = GetMappingRequest {
                resource: resource.to_owned(),
                object,
            };
            let found = admin.get_mapping(Request::new(request)).await;
            let found = found.map(|answer| answer.into_inner().mapping.unwrap().host.unwrap().name);
            let found = found.map_err(|status| status.code());
            assert_eq!(found, expected.map(str::to_owned));
        }
    }

    #[tokio::test]
    async fn kinds_say_what_waits_and_can_be_looked_at_again() {
        let admin = admin();
        let of = async |resource: &str| {
            let kinds = admin
                .list_kinds(Request::new(ListKindsRequest {}))
                .await
                .unwrap()
                .into_inner()
                .kinds;
            kinds.into_iter().find(|kind| kind.resource == resource).unwrap()
        };
        let maps = of("configmaps").await;
        assert_eq!((maps.queued, maps.virtual_objects, maps.host_objects), (0, 2, 0));
        let resync = ResyncRequest {
            resource: "configmaps".to_owned(),
        };
        let queued = admin.resync(Request::new(resync)).await.unwrap().into_inner().queued;
        assert_eq!(
            (queued, of("configmaps").await.queued, of("pods").await.queued),
            (2, 2, 0)
        );
        assert_eq!(of("databases.db.example.com").await.direction, Direction::ToHost as i32);
    }
}
