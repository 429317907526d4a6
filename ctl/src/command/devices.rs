//! `devices`: the machines of the account.

use delight_proto::api::method::{Device, DeviceList, Empty};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::{span, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Machines that were paired by a phone cannot read each other's names. Phones and apps are not listed: they leave nothing \
with the server by which it could tell them.

Example:
  delightctl devices")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let listed = context.daemon()?.call::<DeviceList>(&Empty {})?;
        context.out.result(&listed, || {
            if listed.devices.is_empty() {
                return "the server lists no machine yet\n".to_owned();
            }
            listed.devices.iter().map(|device| line(context, device)).collect()
        })?;
        Ok(0)
    }
}

fn line(context: &Context, device: &Device) -> String {
    let state = match (device.online, device.seen_ms) {
        (true, _) => context.out.paint(Tone::Good, "online"),
        (false, Some(at)) => format!("seen {} ago", span::age(span::now_ms().saturating_sub(at))),
        (false, None) => "never seen".to_owned(),
    };
    let this = if device.this { "  (this machine)" } else { "" };
    format!(
        "{}  {}  {state}{this}\n",
        text::visible(&device.id),
        device.name.as_deref().map_or_else(|| "-".to_owned(), text::visible)
    )
}
