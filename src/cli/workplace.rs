//! What a command works on: the configuration, the store that it names, the server that may run.

use std::time::{Duration, Instant};

use super::account;
use super::output::hint;
use super::privilege::{close_to_others, drop_to_owner};
use crate::admin::{Admin, OnTheBox, Operation};
use crate::config::Config;
use crate::control::{Asked, Client};
use crate::error::{Error, Kind, Result};
use crate::store::{Actor, DataLock, Store};
use crate::time::Timestamp;

/// How long a command waits for one that has the store, or for a server that is starting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who works on the data directory.
pub(super) enum Holder {
    /// The server that runs.
    Server(Client),
    /// This process, with the lock.
    Here(DataLock, Box<Store>),
}

/// The configuration of this run, with the rights that the data directory asks for.
#[derive(Clone)]
pub(super) struct Workplace {
    /// Everything that was configured.
    pub(super) config: Config,
    /// Who runs the command.
    pub(super) actor: Actor,
    /// What the system calls the account that runs it.
    account: Option<String>,
}

impl Workplace {
    /// Takes the identity of the data directory's owner, and lets nobody else read what is written
    /// from here on.
    pub(super) fn new(config: Config) -> Result<Self> {
        let account = account::caller();
        let actor = Actor::on_the_box(account.as_deref());
        drop_to_owner(&config.data)?;
        close_to_others()?;
        Ok(Self {
            config,
            actor,
            account,
        })
    }

    /// Lets the running server perform the operation, or performs it here where none runs.
    ///
    /// # Errors
    /// As [`Self::holder`], and those of the operation.
    pub(super) fn perform<O: Operation>(&self, operation: O) -> Result<O::View> {
        self.perform_by(self.holder()?, operation)
    }

    /// Lets this holder perform the operation.
    pub(super) fn perform_by<O: Operation>(&self, holder: Holder, operation: O) -> Result<O::View> {
        match holder {
            Holder::Server(server) => self.ask(&server, &operation),
            Holder::Here(_lock, store) => operation.perform(&Admin {
                store: &store,
                actor: self.actor.clone(),
                caller: &OnTheBox,
                config: &self.config,
                server: None,
                watch: None,
            }),
        }
    }

    /// The running server, or this process with the lock where none runs. A server that is starting, or another
    /// command, is waited for a moment.
    ///
    /// # Errors
    /// `Conflict` where another process holds the data directory and does not answer.
    pub(super) fn holder(&self) -> Result<Holder> {
        let data = &self.config.data;
        let begun = Instant::now();
        loop {
            if let Some(server) = self.running_server()? {
                return Ok(Holder::Server(server));
            }
            self.check_data()?;
            match DataLock::take(data) {
                Ok(lock) => {
                    if let Some(lost) = Store::mend_databases(data, &lock, Timestamp::now())? {
                        hint(&lost.sentence());
                    }
                    return Ok(Holder::Here(lock, Box::new(Store::open(data)?)));
                }
                Err(error) if error.kind() != Kind::Conflict || begun.elapsed() > PATIENCE => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Lets this server perform the operation.
    pub(super) fn ask<O: Operation>(&self, server: &Client, operation: &O) -> Result<O::View> {
        let asked = self.asked(operation)?;
        server.perform(O::NAME, &asked, O::TAKES_LONG)
    }

    /// The operation as it goes over the control socket.
    pub(super) fn asked<O: Operation>(&self, operation: &O) -> Result<Asked> {
        Ok(Asked {
            account: self.account.clone(),
            request: serde_json::to_value(operation).map_err(no_json)?,
        })
    }

    /// The existing store; the error names the path that was not found.
    pub(super) fn open_store(&self) -> Result<Store> {
        self.check_data()?;
        Store::open(&self.config.data)
    }

    /// The error names the path that was not found.
    pub(super) fn check_data(&self) -> Result<()> {
        let data = &self.config.data;
        let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        if std::fs::metadata(data).is_err_and(|error| missing(&error)) {
            let what = format!("there is no store at {}", data.display());
            let make = "name its directory with --data, or make one with `breakwater init`";
            let remedy = self.config.overlooked_data();
            let remedy = remedy.unwrap_or_else(|| make.to_owned());
            return Err(Error::new(Kind::NotFound, what).remedy(remedy));
        }
        Ok(())
    }

    /// The server that runs on the store, if one does.
    pub(super) fn running_server(&self) -> Result<Option<Client>> {
        Client::find(&self.config.data)
    }
}

fn no_json(error: serde_json::Error) -> Error {
    Error::internal("an operation is no JSON").because(error)
}
