//! Membership, and users and roles where there are none.

use proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest, AuthStatusRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest, MemberAddRequest,
    MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
};
use tonic::Code;

use super::refused;
use crate::support::Client;

pub(super) async fn one_member(client: Client) {
    let mut cluster = client.cluster.clone();
    let listed = cluster
        .member_list(MemberListRequest { linearizable: true })
        .await
        .expect("members")
        .into_inner();
    let header = listed.header.expect("header");
    assert_eq!((header.revision, listed.members.len()), (0, 1));
    let member = &listed.members[0];
    assert_eq!(
        (member.id, member.name.as_str(), member.is_learner),
        (header.member_id, "default", false)
    );
    assert!(
        member
            .client_ur_ls
            .iter()
            .any(|url| url.starts_with("http://127.0.0.1:")),
        "{member:?}"
    );

    let bad = "etcdserver: given member URLs are invalid";
    for urls in [
        &["nonsense"][..],
        &["http://x"],
        &["http://x:1/path"],
        &["http://x:1", "ftp://x:1"],
        &[],
    ] {
        let added = cluster.member_add(MemberAddRequest {
            peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
            is_learner: false,
        });
        refused(added.await, Code::InvalidArgument, bad);
    }
    let unknown = "etcdserver: member not found";
    refused(
        cluster.member_remove(MemberRemoveRequest { id: 123 }).await,
        Code::NotFound,
        unknown,
    );
    let request = MemberUpdateRequest {
        id: 123,
        peer_ur_ls: vec!["http://127.0.0.1:1".into()],
    };
    refused(cluster.member_update(request).await, Code::NotFound, unknown);
    refused(
        cluster.member_promote(MemberPromoteRequest { id: 123 }).await,
        Code::NotFound,
        unknown,
    );
    let grown_up = cluster.member_promote(MemberPromoteRequest { id: member.id }).await;
    refused(
        grown_up,
        Code::FailedPrecondition,
        "etcdserver: can only promote a learner member",
    );
}

pub(super) async fn nobody_has_to_log_in(client: Client) {
    let mut auth = client.auth.clone();
    let name = || "nobody".to_owned();
    let no_user = "etcdserver: user name not found";
    let no_role = "etcdserver: role name not found";
    let failed = Code::FailedPrecondition;
    auth.auth_disable(AuthDisableRequest {}).await.expect("off it stays");
    let users = auth
        .user_list(AuthUserListRequest {})
        .await
        .expect("users")
        .into_inner();
    assert!(users.users.is_empty() && users.header.expect("header").revision > 0);
    let roles = auth
        .role_list(AuthRoleListRequest {})
        .await
        .expect("roles")
        .into_inner();
    assert!(roles.roles.is_empty());
    refused(
        auth.auth_enable(AuthEnableRequest {}).await,
        failed,
        "etcdserver: root user does not exist",
    );
    let request = AuthenticateRequest {
        name: name(),
        password: "x".into(),
    };
    refused(
        auth.authenticate(request).await,
        failed,
        "etcdserver: authentication is not enabled",
    );
    refused(
        auth.user_add(AuthUserAddRequest::default()).await,
        Code::InvalidArgument,
        "etcdserver: user name is empty",
    );
    refused(
        auth.role_add(AuthRoleAddRequest::default()).await,
        Code::InvalidArgument,
        "etcdserver: role name is empty",
    );
    refused(
        auth.user_get(AuthUserGetRequest { name: name() }).await,
        failed,
        no_user,
    );
    refused(
        auth.user_delete(AuthUserDeleteRequest { name: name() }).await,
        failed,
        no_user,
    );
    let request = AuthUserChangePasswordRequest {
        name: name(),
        password: "x".into(),
        ..Default::default()
    };
    refused(auth.user_change_password(request).await, failed, no_user);
    let request = AuthUserGrantRoleRequest {
        user: name(),
        role: "r".into(),
    };
    refused(auth.user_grant_role(request).await, failed, no_user);
    let request = AuthUserRevokeRoleRequest {
        name: name(),
        role: "r".into(),
    };
    refused(auth.user_revoke_role(request).await, failed, no_user);
    refused(
        auth.role_get(AuthRoleGetRequest { role: name() }).await,
        failed,
        no_role,
    );
    refused(
        auth.role_delete(AuthRoleDeleteRequest { role: name() }).await,
        failed,
        no_role,
    );
    let request = AuthRoleGrantPermissionRequest {
        name: name(),
        perm: Some(proto::authpb::Permission::default()),
    };
    refused(auth.role_grant_permission(request).await, failed, no_role);
    let request = AuthRoleRevokePermissionRequest {
        role: name(),
        ..Default::default()
    };
    refused(auth.role_revoke_permission(request).await, failed, no_role);
}

/// What etcd 3.4 has not got or does differently.
pub(super) async fn auth_since_3_5(client: Client) {
    let mut auth = client.auth.clone();
    let status = auth
        .auth_status(AuthStatusRequest {})
        .await
        .expect("status")
        .into_inner();
    assert_eq!((status.enabled, status.auth_revision), (false, 1));
    let request = AuthRoleGrantPermissionRequest {
        name: "nobody".into(),
        perm: None,
    };
    refused(
        auth.role_grant_permission(request).await,
        Code::InvalidArgument,
        "etcdserver: permission not given",
    );
}
