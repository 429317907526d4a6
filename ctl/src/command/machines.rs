//! `machines`: the account's machines, as the server knows them.

use std::io::{BufRead, BufReader};

use delight_proto::api::envelope::Response;
use delight_proto::api::method::{Device, DeviceListResult};

use crate::afar;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::span;
use crate::table::{Cell, lay_out};
use crate::text;
use crate::unreachable::{garbled, lost};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A machine is named by its name, its host or its id. It can be asked while its daemon runs and is linked to the server; \
an account's secret is needed here (delightctl account import).

Examples:
  delightctl machines
  delightctl --machine laptop list
  delightctl --machine laptop attach build")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let stream = afar::machines(&context.place()?)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(|e| lost(&e.to_string()))?;
        let answer: Response = serde_json::from_str(&line).map_err(|e| garbled(&e.to_string()))?;
        let result = match (answer.result, answer.error) {
            (Some(result), None) => result,
            (_, Some(error)) => return Err(error.data.into()),
            (None, None) => return Err(garbled("an answer without a result").into()),
        };
        let listed: DeviceListResult =
            serde_json::from_str(result.get()).map_err(|e| garbled(&e.to_string()))?;
        context.out.result(&listed, || {
            if listed.devices.is_empty() {
                return "the account has no machines; next: delightctl pair\n".to_owned();
            }
            let now = span::now_ms();
            let row = |device: &Device| {
                let (state, tone) =
                    if device.online { ("online", Tone::Good) } else { ("offline", Tone::Faint) };
                let name = device.name.as_deref().map_or_else(|| "(unreadable)".to_owned(), text::visible);
                let seen = device.seen_ms.map(|seen| span::age(now.saturating_sub(seen)));
                vec![
                    name.into(),
                    Cell { text: state.to_owned(), tone },
                    seen.unwrap_or_default().into(),
                    text::visible(&device.id).into(),
                ]
            };
            let rows: Vec<_> = listed.devices.iter().map(row).collect();
            lay_out(context.out, &["NAME", "STATE", "SEEN", "ID"], &rows, &[], None)
        })?;
        Ok(0)
    }
}
