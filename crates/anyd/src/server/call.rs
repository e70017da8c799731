//! A call of Varlink: a message in, an answer out.

use std::os::fd::OwnedFd;

use super::admission::{Asked, Refusal, Source};
use super::carry::{Ended, Performed};
use super::line::{Closed, Flow, Line};
use super::output;
use super::service::Verdict;
use crate::parameters::Invalid;
use crate::wire::{CallHead, errors};
use crate::writer::Form;

/// Carries out the call in a message and answers it.
pub(super) async fn handle(line: &mut Line, message: &[u8], fds: Vec<OwnedFd>) -> Flow {
    let Ok(head) = CallHead::parse(message) else {
        line.refuse(errors::MALFORMED, &[("reason", "not a Varlink call")])
            .await?;
        return Err(Closed::Malformed);
    };
    let [silent, more, upgrade] =
        [head.oneway, head.more, head.upgrade].map(|flag| flag == Some(true));
    if silent && (more || upgrade) {
        line.refuse(
            errors::MALFORMED,
            &[("reason", "oneway goes with neither more nor upgrade")],
        )
        .await?;
        return Err(Closed::Malformed);
    }
    let asked = Asked {
        name: &head.method,
        more,
        upgrade,
        source: Source::Text(head.parameters),
        fds,
    };
    let form = Form::Text(std::mem::take(&mut line.spare));
    let performed = line.perform(asked, form).await?;
    line.answer(performed, silent).await
}

impl Line {
    async fn refuse(&self, name: &str, parameters: &[(&str, &str)]) -> Flow {
        let mut text = Vec::new();
        output::error(&mut text, name, parameters);
        self.write(&text).await
    }

    async fn answer_refusal(&self, refusal: &Refusal) -> Flow {
        match refusal {
            Refusal::NoInterface(interface) => {
                self.refuse(errors::INTERFACE_NOT_FOUND, &[("interface", interface)])
                    .await
            }
            Refusal::NoMethod(method) => {
                self.refuse(errors::METHOD_NOT_FOUND, &[("method", method)])
                    .await
            }
            Refusal::NotImplemented(method) => {
                self.refuse(errors::METHOD_NOT_IMPLEMENTED, &[("method", method)])
                    .await
            }
            Refusal::Denied(reason) => {
                self.refuse(errors::PERMISSION_DENIED, &[("reason", reason)])
                    .await
            }
            Refusal::ExpectedMore => self.refuse(errors::EXPECTED_MORE, &[]).await,
            Refusal::Invalid(invalid) => self.refuse_invalid(invalid).await,
        }
    }

    async fn refuse_invalid(&self, invalid: &Invalid) -> Flow {
        let fields = [
            ("parameter", invalid.parameter.as_str()),
            ("reason", invalid.reason.as_str()),
        ];
        self.refuse(errors::INVALID_PARAMETER, &fields).await
    }

    async fn answer(&mut self, performed: Performed, silent: bool) -> Flow {
        let id = performed.id;
        let answer = match performed.ended {
            Ended::Dropped(Closed::Stopping) => {
                // The stream's end, said properly.
                self.refuse(errors::SHUTDOWN, &[]).await?;
                return Err(Closed::Stopping);
            }
            Ended::Dropped(why) => return Err(why),
            _ if silent => return Ok(()),
            Ended::Refused(refusal) => return self.answer_refusal(&refusal).await,
            Ended::Invalid(invalid) => return self.refuse_invalid(&invalid).await,
            Ended::Timeout => return self.refuse(errors::TIMEOUT, &[]).await,
            Ended::Panicked => return self.refuse_broken(id).await,
            Ended::Answered(answer) => answer,
        };
        match answer.verdict {
            Verdict::Unwritable => return self.refuse_broken(id).await,
            // The last event was the answer.
            Verdict::Replied if performed.has_last => return Ok(()),
            Verdict::Replied | Verdict::Fault(_) => {}
        }
        let Form::Text(mut text) = answer.form else {
            return self.refuse_broken(id).await;
        };
        self.write_with_fds(&text, answer.fds).await?;
        text.clear();
        self.spare = text;
        Ok(())
    }

    async fn refuse_broken(&self, id: u64) -> Flow {
        let mut text = Vec::new();
        let form = output::error_form(Form::Text(text), errors::INTERNAL, |fields| {
            fields.put("id", &id);
        });
        text = match form {
            Ok(Form::Text(text)) => text,
            _ => return Err(Closed::Broken),
        };
        self.write(&text).await
    }
}
