//! The account, pairing and the link to the server over the control socket.

use delight_proto::api::method::{
    AccountCreate, AccountExport, AccountImport, AccountShow, DeviceList, DeviceListResult, Empty, PairBegin,
    PairCancel, PairWait, Unpair, UplinkState, UplinkStatus, UplinkStatusResult,
};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use super::Daemon;
use super::call::Caller;
use super::peer::outside_sessions;
use super::request::raw;
use super::routes::routes;

routes! { caller, room;
    AccountCreate(params) => {
        by_owner(caller, "making an account").await?;
        raw(&caller.daemon().linking.create(params.server).await?)
    },
    AccountShow(_) => raw(&caller.daemon().linking.show()?),
    AccountExport(_) => {
        by_owner(caller, "showing the account's secret").await?;
        raw(&caller.daemon().linking.export()?)
    },
    AccountImport(params) => {
        by_owner(caller, "importing an account").await?;
        raw(&caller.daemon().linking.import(&params.backup, params.server).await?)
    },
    PairBegin(params) => {
        by_owner(caller, "pairing").await?;
        raw(&caller.daemon().linking.begin(params.server).await?)
    },
    PairWait(params) => raw(&caller.daemon().linking.wait(&params.pairing).await?),
    PairCancel(_) => {
        by_owner(caller, "giving up a pairing").await?;
        caller.daemon().linking.cancel();
        raw(&Empty {})
    },
    DeviceList(_) => raw(&DeviceListResult { devices: caller.daemon().linking.devices().await? }),
    Unpair(_) => {
        by_owner(caller, "leaving the account").await?;
        raw(&caller.daemon().linking.unpair().await?)
    },
    UplinkStatus(_) => raw(&status(caller.daemon())),
}

/// Whose machine it is decides whose account it belongs to: no process inside a session, and nobody from afar.
async fn by_owner(caller: &Caller, what: &str) -> Result<(), Refusal> {
    if let Origin::Phone { .. } = caller.origin() {
        return Err(Refusal::new(
            Code::Forbidden,
            format!("{what} is not for callers from afar"),
            "it concerns the keys of this machine",
        )
        .fix("do it on the machine itself"));
    }
    outside_sessions(&caller.daemon().supervision, &caller.origin(), what).await
}

/// How the link is; a key file that cannot be used is why there is none.
pub(super) fn status(daemon: &Daemon) -> UplinkStatusResult {
    let keys = daemon.linking.keys();
    let mut told = daemon.uplink.status().told();
    if keys.current().is_none() && told.state != UplinkState::NotLinked {
        // The link hears of the keys' end a moment later than whoever ended them.
        let since_ms = crate::actor::wall_ms();
        let (state, reason) = (UplinkState::NotLinked, String::new());
        told = UplinkStatusResult { server: None, state, since_ms, reason, machine: None, waiting: 0 };
    }
    match keys.fault() {
        Some(fault) => {
            let reason = format!("{fault} ({})", fault.fix);
            UplinkStatusResult { state: UplinkState::Refused, reason, ..told }
        }
        None => told,
    }
}
