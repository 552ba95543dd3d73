//! Every component of the server, in start order.

mod trust;

use crate::admin::Admin;
use crate::admission::escalation::{self, Escalation};
use crate::admission::webhook::Webhooks;
use crate::admission::{self, MappedNamespaces, plugins};
use crate::aggregator::{Aggregator, Availability};
use crate::apiextensions::{self, CustomResources};
use crate::authentication::issue::TokenIssuer;
use crate::authentication::jwt::{SigningKey, VerifyingKey};
use crate::authentication::request_header::RequestHeader;
use crate::authentication::token::TokenAuthenticator;
use crate::authentication::{Authenticator, Getter};
use crate::authorization::control_plane::ControlPlane;
use crate::authorization::node::Node;
use crate::authorization::rbac::Rbac;
use crate::authorization::{self, Authorizer, Union};
use crate::bootstrap::{self, Bootstrap};
use crate::components::Components;
use crate::controllers;
use crate::endpoints::api::Api;
use crate::endpoints::handlers::review::Reviewers;
use crate::endpoints::oidc::Metadata;
use crate::endpoints::openapi::Documents;
use crate::endpoints::pages::Pages;
use crate::filters::DeniedRequests;
use crate::filters::body_room::BodyRoom;
use crate::filters::max_in_flight::MaxInFlight;
use crate::kubelet::{Kubelet, Transport};
use crate::manifests::AdmissionFiles;
use crate::metrics::RequestMetrics;
use crate::options::Options;
use crate::registry::allocators::{Addresses, Ports, ServiceAllocator};
use crate::registry::catalog::Catalog;
use crate::registry::resource::Resource;
use crate::registry::store::SideEffects;
use crate::registry::unstored::Unstored;
use crate::resources;
use crate::server::chain::Chain;
use crate::server::health::HealthChecks;
use crate::server::listener::{self, Security};
use crate::server::tls;
use crate::storage::cacher::{Cacher, ConsistencyCheck, Hub};
use crate::storage::etcd3::{Compactor, Connection, Servers, Store};
use crate::storage::{Codec, Form, Storage};
use crate::webhook::{self, Credentials};
use anyhow::{Context, Result, anyhow};
use chassis::tls::{load_authorities, load_identity};
use chassis::{BindAddress, Chassis, Listener, usage};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::object::Selectable;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The storage key of the objects that `--event-ttl` is about.
const EVENTS: &str = "events";

/// What tests look into.
pub struct App {
    /// The API behind the filters.
    pub api: Arc<Api>,
    /// The caches.
    pub hub: Hub,
}

/// Builds and starts the server. The secure port is recorded as `secure`.
///
/// # Errors
/// When a flag or file cannot be used or the port is taken.
pub async fn build(options: Options, chassis: &mut Chassis) -> Result<App> {
    options.validate()?;
    let shutdown = chassis.shutdown();

    // Storage: one connection, one watch, a cache per resource.
    let connection = Connection::open(&servers(&options)).await.map_err(usage)?;
    let hub = Hub::new(connection.clone(), &options.etcd_prefix);
    let rbac = Arc::new(Rbac::default());
    let node = Arc::new(Node::new(
        bootstrap::node_rules().map_err(|status| anyhow!(status.message))?,
    ));
    let authorizer: Arc<dyn Authorizer> = Arc::new(Union(vec![Arc::new(ControlPlane), node.clone(), rbac.clone()]));
    let files = AdmissionFiles::load(options.admission_control_config_file.as_deref())?;
    let denied = DeniedRequests::load(options.denied_requests_dir.as_deref())?;
    let client = |shown: Credentials| webhook::Client::new(shown, chassis.tasks().clone());
    for directory in files.directories {
        let follows = directory.follow(chassis.tasks().shutdown());
        chassis.tasks().spawn_finite("admission-manifests", follows);
    }
    let callers = (client(files.mutating), client(files.validating));
    let called = Webhooks::new(callers.clone(), files.fixed, chassis.metrics());
    let admission = admission(
        &options,
        authorizer.clone(),
        Arc::new(called),
        denied.allowed_namespaces(),
    )?;
    let transport = kubelet_transport(&options)?;
    let resources = resources::all();
    let mut forms = forms(&resources);
    let storage = |resource: &Resource| -> Arc<dyn Storage> {
        let (key, fields) = (&*resource.storage_key, resource.selectable_fields.clone());
        match (key, &*resource.plural) {
            ("", "componentstatuses") => {
                let (transport, tasks) = (transport.clone(), chassis.tasks().clone());
                return Arc::new(Components::new(
                    transport,
                    tasks,
                    connection.clone(),
                    options.etcd_servers.len(),
                ));
            }
            ("", _) => return Arc::new(Unstored),
            _ => {}
        }
        let codec = Codec::new(&options.etcd_prefix, key, resource.namespaced(), fields, None);
        let codec = match forms.remove(key) {
            Some(form) => codec.of_kind(form),
            None => codec,
        };
        let store = Store::new(connection.clone(), codec);
        let expires = key == EVENTS && !options.event_ttl.is_zero();
        let store = if expires {
            store.with_lifetime(options.event_ttl)
        } else {
            store
        };
        Arc::new(Cacher::new(store, hub.clone()))
    };
    let uncached = |key: &str, kind: GroupVersionKind| -> Arc<dyn Storage> {
        let codec = Codec::new(&options.etcd_prefix, key, false, Selectable::NONE, None).of_kind(Form::new(kind));
        Arc::new(Store::new(connection.clone(), codec))
    };
    let networking = |kind: &str| GroupVersionKind::new("networking.k8s.io", "v1", kind);
    let ports = options.service_node_port_range;
    let allocator = ServiceAllocator::new(
        Addresses::new(
            options.service_cluster_ip_range.clone(),
            uncached("ipaddresses", networking("IPAddress")),
            uncached("servicecidrs", networking("ServiceCIDR")),
        ),
        Ports::new(
            ports.first,
            ports.last,
            uncached("ranges", GroupVersionKind::new("", "v1", "RangeAllocation")),
        ),
    );
    let catalog = Catalog::new(resources, storage, &admission, |key| {
        (key == "services/specs").then(|| -> Arc<dyn SideEffects> { Arc::new(allocator.clone()) })
    });
    let stored = stored_objects(&catalog);
    let objects = known_objects(&catalog);

    // Identities: who asks, and whom this server vouches for.
    let signing_key = options
        .service_account_signing_key_file
        .as_deref()
        .map(signing_key)
        .transpose()?;
    let keys = verifying_keys(&options, signing_key.as_ref())?;
    let published = (keys.clone(), options.service_account_issuer.first().cloned());
    let accounts = (!keys.is_empty()).then(|| {
        Arc::new(TokenAuthenticator {
            keys,
            issuers: options.service_account_issuer.clone(),
            audiences: options.audiences(),
            objects: objects.clone(),
        })
    });
    let proxies = trust::proxies(&options.aggregation)?.map(Arc::new);
    let authenticator = Authenticator {
        proxies: proxies.clone(),
        tokens: accounts.clone(),
        anonymous: options.anonymous_auth,
    };
    let tokens = signing_key.map(|key| TokenIssuer {
        key,
        issuer: options.service_account_issuer.first().cloned().unwrap_or_default(),
        audiences: options.audiences(),
        objects: stored.clone(),
    });
    let kubelet = Kubelet {
        transport,
        address_types: options.kubelet_preferred_address_types.clone(),
        loopback_ports: options.loopback_kubelet_ports.clone(),
        objects: stored,
        nodes: objects,
        tasks: chassis.tasks().clone(),
    };

    let backends = (kubelet.transport.clone(), chassis.tasks().clone());

    // Custom resources: what definitions are made into.
    let webhooks = webhook::Client::new(Credentials::default(), chassis.tasks().clone());
    let custom_resources = CustomResources::new(apiextensions::Environment {
        connection: connection.clone(),
        hub: hub.clone(),
        etcd_prefix: options.etcd_prefix.clone(),
        webhooks: webhooks.clone(),
    });

    // The secure port: bound before anybody is told that the server is ready.
    let security = security(&options, proxies)?;
    let address = BindAddress::Tcp(SocketAddr::new(options.bind_address, options.secure_port));
    let listener = Listener::bind(&address)
        .await
        .context("--bind-address and --secure-port")?;
    chassis.addresses().insert("secure", listener.address().clone());
    let bound = match listener.address() {
        BindAddress::Tcp(address) => address.port(),
        BindAddress::Unix(_) => options.secure_port,
    };
    let advertised = options
        .advertise_address
        .unwrap_or_else(|| bootstrap::own_address(options.bind_address));
    let advertised = SocketAddr::new(advertised, bound);
    let oidc = match published {
        (keys, Some(issuer)) if !keys.is_empty() => {
            let uri = options.service_account_jwks_uri.as_deref();
            Some(Metadata::new(&issuer, &keys, uri, &advertised.to_string()))
        }
        _ => None,
    };
    let services = webhook::Services {
        objects: kubelet.nodes.clone(),
        slices: known_slices(&catalog),
        to_endpoints: options.aggregation.enable_aggregator_routing,
        own_address: SocketAddr::new(bootstrap::loopback(options.bind_address), bound),
    };
    for caller in [&callers.0, &callers.1, &webhooks] {
        caller.inform(services.clone());
    }
    let aggregator = Aggregator::new(
        backends,
        trust::front_proxy(&options.aggregation)?,
        services,
        Availability::new(chassis.metrics()),
    );
    let api = Arc::new(Api {
        catalog,
        custom_resources,
        aggregator,
        pages: Pages::new(chassis.flags().clone()),
        documents: Documents::default(),
        kubelet,
        tokens,
        oidc,
        address: advertised.to_string(),
        reviewers: Reviewers {
            authorizer: authorizer.clone(),
            rbac: rbac.clone(),
            tokens: accounts,
        },
    });
    let metrics = RequestMetrics::new(chassis.metrics().clone());
    let (reading, writing) = metrics.in_flight();
    let chain = Chain {
        authenticator,
        denied,
        authorizer,
        max_in_flight: MaxInFlight::new(
            (options.max_requests_inflight, reading),
            (options.max_mutating_requests_inflight, writing),
        ),
        body_room: BodyRoom::default(),
        request_timeout: options.request_timeout,
        metrics,
        health: HealthChecks::new(chassis.health().clone(), shutdown.clone()),
        api: api.clone(),
        draining: shutdown.clone(),
    };

    // Everything is built: run it.
    let tasks = chassis.tasks();
    tasks.spawn(
        "store-watch",
        hub.clone().run(chassis.health().gate("etcd"), shutdown.clone()),
    );
    let check = ConsistencyCheck::new(chassis.metrics());
    if !options.watch_cache_check_interval.is_zero() {
        let period = options.watch_cache_check_interval;
        tasks.spawn("cache-check", check.run(hub.clone(), period, shutdown.clone()));
    }
    if !options.etcd_compaction_interval.is_zero() {
        let compactor = Compactor::new(connection.clone(), options.etcd_compaction_interval);
        tasks.spawn("compactor", compactor.run(shutdown.clone()));
    }
    let trust = trust::published(&options)?;
    let bootstrap = Bootstrap {
        api: api.clone(),
        allocator: allocator.clone(),
        advertised,
        repair_interval: options.service_allocation_repair_interval,
        trust: trust.clone(),
    };
    tasks.spawn(
        "bootstrap",
        bootstrap.run(chassis.health().gate("bootstrap"), shutdown.clone()),
    );
    controllers::spawn(tasks, &api, (&rbac, &node), &allocator, trust, &shutdown);
    listener::serve(tasks, listener, security, Arc::new(chain));
    let admin = Admin::new(connection, hub.clone(), options.etcd_servers, &api.catalog);
    chassis
        .grpc()
        .descriptors(proto::FILE_DESCRIPTOR_SET)
        .add(admin.into_service());
    Ok(App { api, hub })
}

/// The plugins that the flags choose, and behind them what cannot be switched off.
fn admission(
    options: &Options,
    authorizer: Arc<dyn Authorizer>,
    webhooks: Arc<Webhooks>,
    namespaces: &[String],
) -> Result<admission::Chain> {
    let (enable, disable) = (&options.enable_admission_plugins, &options.disable_admission_plugins);
    let mut chain = plugins::chain(enable, disable).map_err(usage)?;
    let rights: Arc<dyn admission::Rights> = Arc::new(Rights(authorizer.clone()));
    for plugin in &mut chain {
        plugin.inform(&rights);
        plugin.connect(&webhooks);
    }
    if !namespaces.is_empty() {
        let guard = MappedNamespaces::new(namespaces.to_vec(), authorization::control_plane::is_own);
        chain.insert(0, Box::new(guard));
    }
    chain.push(Box::new(Escalation::new(move |question| {
        authorizer.allows(&authorization::Attributes {
            user: question.user,
            groups: question.groups,
            verb: question.verb,
            is_resource: true,
            group: escalation::GROUP,
            resource: question.resource,
            namespace: question.namespace,
            name: question.name,
            ..authorization::Attributes::default()
        })
    })));
    Ok(chain.into())
}

/// Answers the questions of plugins as requests are answered.
struct Rights(Arc<dyn Authorizer>);

impl admission::Rights for Rights {
    fn may(&self, user: &str, groups: &[String], question: &cel::Question) -> bool {
        self.0.allows(&authorization::Attributes {
            user,
            groups,
            verb: &question.verb,
            is_resource: question.path.is_none(),
            group: &question.group,
            resource: &question.resource,
            subresource: &question.subresource,
            namespace: &question.namespace,
            name: &question.name,
            path: question.path.as_deref().unwrap_or_default(),
            field_selector: "",
        })
    }
}

fn servers(options: &Options) -> Servers {
    Servers {
        endpoints: options.etcd_servers.clone(),
        ca_file: options.etcd_cafile.clone(),
        cert_file: options.etcd_certfile.clone(),
        key_file: options.etcd_keyfile.clone(),
    }
}

/// What the values of each storage key look like: the versions of a kind say how they become the stored one, and that one
/// has the defaults.
fn forms(resources: &[Resource]) -> HashMap<String, Form> {
    let mut forms: HashMap<String, Form> = HashMap::new();
    for resource in resources {
        let new = || Form::new(resource.storage_gvk().clone());
        let form = forms.entry(resource.storage_key.to_string()).or_insert_with(new);
        for (version, how) in resource.foreign {
            let kind = GroupVersionKind::new(&*resource.gvk.group, *version, &*resource.gvk.kind);
            form.upgrade(kind, *how);
        }
        match &resource.storage {
            Some((_, conversion)) => form.upgrade(resource.gvk.clone(), conversion.to_storage),
            None => {
                let strategy = resource.strategy.clone();
                form.set_defaults(Box::new(move |object| strategy.default(object)));
            }
        }
    }
    forms
}

/// Objects as the caches know them. What they do not know is asked of the store: it may be a moment old, such as the
/// account of a token that was just issued (upstream `pkg/controller/serviceaccount/tokengetter.go`).
fn known_objects(catalog: &Catalog) -> Getter {
    let lookup = catalog.lookup().clone();
    Arc::new(move |resource, namespace, name| {
        let lookup = lookup.clone();
        Box::pin(async move { lookup.find(&resource, &namespace, &name).await })
    })
}

/// The EndpointSlices of a namespace, as the caches know them.
fn known_slices(catalog: &Catalog) -> webhook::Slices {
    let lookup = catalog.lookup().clone();
    Arc::new(move |namespace| {
        let lookup = lookup.clone();
        Box::pin(async move {
            let slices = GroupResource::new("discovery.k8s.io", "endpointslices");
            lookup.list(&slices, &namespace).await
        })
    })
}

/// Objects as they are in the store right now.
fn stored_objects(catalog: &Catalog) -> Getter {
    let lookup = catalog.lookup().clone();
    Arc::new(move |resource, namespace, name| {
        let lookup = lookup.clone();
        Box::pin(async move { lookup.latest(&resource, &namespace, &name).await })
    })
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| usage(format!("{flag} {}: cannot be read: {error}", path.display())))
}

fn signing_key(path: &Path) -> Result<SigningKey> {
    const FLAG: &str = "--service-account-signing-key-file";
    SigningKey::from_pem(&read(FLAG, path)?).map_err(|why| usage(format!("{FLAG} {}: {why}", path.display())))
}

/// The keys that tokens are checked with; upstream's default is the signing key.
fn verifying_keys(options: &Options, signing_key: Option<&SigningKey>) -> Result<Vec<VerifyingKey>> {
    const FLAG: &str = "--service-account-key-file";
    let mut keys = Vec::new();
    for path in &options.service_account_key_file {
        let found = VerifyingKey::from_pem(&read(FLAG, path)?);
        keys.extend(found.map_err(|why| usage(format!("{FLAG} {}: {why}", path.display())))?);
    }
    if keys.is_empty() {
        keys.extend(signing_key.map(|key| key.public().clone()));
    }
    Ok(keys)
}

fn kubelet_transport(options: &Options) -> Result<Transport> {
    let authorities = options.kubelet_certificate_authority.as_deref();
    let authorities = authorities
        .map(|path| load_authorities("--kubelet-certificate-authority", path))
        .transpose()?;
    let identity = match (&options.kubelet_client_certificate, &options.kubelet_client_key) {
        (Some(certificate), Some(key)) => Some(load_identity(
            ("--kubelet-client-certificate", certificate),
            ("--kubelet-client-key", key),
        )?),
        _ => None,
    };
    Transport::new(authorities, identity)
}

fn security(options: &Options, proxies: Option<Arc<RequestHeader>>) -> Result<Security> {
    let identity = match (&options.tls_cert_file, &options.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            load_identity(("--tls-cert-file", certificate), ("--tls-private-key-file", key))?
        }
        _ => {
            let mut addresses = vec![options.bind_address];
            addresses.extend(options.advertise_address);
            let (certificate, key) = tls::self_signed(&options.cert_dir, &addresses)?;
            load_identity(("--cert-dir", &certificate), ("--cert-dir", &key))?
        }
    };
    let authorities = trust::of_clients(options)?;
    let tls = tls::server_config(identity, authorities.all)?;
    Ok(Security {
        tls: Arc::new(tls),
        verifier: authorities.users,
        proxies,
    })
}
