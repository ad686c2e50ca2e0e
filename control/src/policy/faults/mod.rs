//! `faults`: delays and aborts for a part of a route's requests.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Found, Levels, Policy};
use crate::ir;
use crate::resource::{GoDuration, RouteFaults};
use crate::translate::Notes;

const ONE_SECOND: GoDuration = GoDuration(1_000_000_000);

/// The policy.
pub struct Faults;

impl Policy for Faults {
    fn option(&self) -> &'static str {
        "faults"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        if action == ActionKind::Forward { Fit::Works } else { Fit::Ignored }
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let faults = levels.in_route("faults", |options| options.faults.as_ref())?;
        let mut message = wire::Fault::default();
        if let Some(delay) = &faults.value.delay {
            let pause = delay.fixed_delay.unwrap_or(GoDuration(0));
            if pause < ONE_SECOND {
                let said = format!("faults: the delay {pause} must be at least 1s");
                faults.error(notes, ".delay.fixedDelay", said);
            }
            message.delay_per_million = per_million(&faults, ".delay.percentage", delay.percentage, notes);
            message.delay_ms = pause.to_millis().unwrap_or(0);
        }
        if let Some(abort) = &faults.value.abort {
            if !(200..600).contains(&abort.http_status) {
                let said = format!("faults: the status {} must be in 200 to 599", abort.http_status);
                faults.error(notes, ".abort.httpStatus", said);
            }
            message.abort_per_million = per_million(&faults, ".abort.percentage", abort.percentage, notes);
            message.abort_status = abort.http_status;
        }
        (message.delay_per_million > 0 || message.abort_per_million > 0).then(|| super::wire(&message))
    }
}

fn per_million(faults: &Found<'_, RouteFaults>, field: &str, percentage: f32, notes: &mut Notes) -> u32 {
    if (0.0..=100.0).contains(&percentage) {
        return (f64::from(percentage) * 10_000.0).round() as u32;
    }
    faults.error(notes, field, format!("faults: the percentage {percentage} must be in 0 to 100"));
    0
}
