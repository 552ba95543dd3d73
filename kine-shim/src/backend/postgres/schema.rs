//! Bringing the tables up to date, be they kine's, ours, or ours after kine has used them.

use tokio_postgres::Client;

use super::{
    errors::fault,
    rows::{bytes, column},
    session::Session,
    statements,
};
use crate::backend::{Fault, names, random_id};

/// Creates and changes what is needed and takes in what kine has written meanwhile, all or nothing. Returns the sequence
/// that kine takes identifiers from, if there is one.
pub(super) fn bring_up_to_date(session: &Session) -> Result<Option<String>, Fault> {
    session.run(async {
        let client = &session.client;
        client.batch_execute("BEGIN").await.map_err(|error| fault(&error))?;
        let done = migrate(client).await;
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(end).await.map_err(|error| fault(&error))?;
        done
    })
}

async fn migrate(client: &Client) -> Result<Option<String>, Fault> {
    let run = async |statement: &str| client.batch_execute(statement).await.map_err(|error| fault(&error));
    let ask = async |statement: &str| client.query_one(statement, &[]).await.map_err(|error| fault(&error));
    run(statements::MIGRATION_LOCK).await?;
    run(statements::SCHEMA).await?;
    let columns = ask(statements::OLD_COLUMNS).await?;
    let is = |at| column::<Option<bool>>(&columns, at).map(|is| is == Some(true));
    if !is(0)? {
        run(statements::ADD_COLUMNS).await?;
    }
    if !is(1)? {
        run(statements::WIDEN_LEASE).await?;
    }
    run(statements::FIRST_ROW).await?;
    client
        .execute(statements::FIRST_COUNTERS, &[&random_id(), &random_id()])
        .await
        .map_err(|error| fault(&error))?;
    let foreign = ask(statements::FOREIGN).await?;
    if let (Some(last_row), Some(revision)) = (column::<Option<i64>>(&foreign, 0)?, column::<Option<i64>>(&foreign, 1)?)
    {
        unpack(client).await?;
        client
            .execute(statements::ADOPT, &[&last_row, &revision])
            .await
            .map_err(|error| fault(&error))?;
    }
    run(statements::EXTEND_LEASES).await?;
    column(&ask(statements::SEQUENCE).await?, 0)
}

async fn unpack(client: &Client) -> Result<(), Fault> {
    let packed = client
        .query(statements::PACKED, &[])
        .await
        .map_err(|error| fault(&error))?;
    for found in packed {
        let id: i64 = column(&found, 0)?;
        let (value, old_value) = (bytes(&found, 1)?.unwrap_or_default(), bytes(&found, 2)?);
        let (version, value) = names::unpack(&value);
        let old_value = old_value.filter(|old_value| !old_value.is_empty());
        let old_value = old_value.as_deref().map(|old_value| names::unpack(old_value).1);
        client
            .execute(
                statements::UNPACK,
                &[&id, &value.as_ref(), &old_value.as_deref(), &version],
            )
            .await
            .map_err(|error| fault(&error))?;
    }
    Ok(())
}
