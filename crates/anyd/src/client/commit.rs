//! Calls by name.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Client;
use crate::dynamic::{
    self, Args, Described, DynamicError, GET_DESCRIPTION, GET_INFO, Interfaces, Known,
};
use crate::request::answer;

impl Client {
    /// Calls a method by its name, without its interface at hand: the full
    /// name, or only its last word, which is then looked for in the daemon's
    /// descriptions.
    ///
    /// ```no_run
    /// # async fn example(mut client: anyd::Client) -> Result<(), anyd::DynamicError> {
    /// let status = client.commit("status", anyd::args! {}).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`CallError`](crate::CallError) says.
    pub async fn commit(&mut self, name: &str, args: Args) -> Result<Value, DynamicError> {
        let full = if dynamic::is_full(name) {
            name.to_owned()
        } else {
            self.known().await?.resolve(name)?
        };
        self.ask(&full, &args).await
    }

    async fn known(&mut self) -> Result<&Known, DynamicError> {
        if self.known.is_none() {
            let mut known = Known::default();
            let info: Interfaces = self.ask(GET_INFO, &Args::new()).await?;
            for interface in info.interfaces {
                if dynamic::is_own(&interface) {
                    let args = crate::args! { interface: interface };
                    let text: Described = self.ask(GET_DESCRIPTION, &args).await?;
                    known.learn(&interface, &text.description);
                }
            }
            self.known = Some(known);
        }
        Ok(self.known.get_or_insert_default())
    }

    async fn ask<R: DeserializeOwned>(
        &mut self,
        method: &str,
        args: &Args,
    ) -> Result<R, DynamicError> {
        let frame = dynamic::frame(method, args)?;
        let message = self.exchange(method, frame).await?;
        Ok(answer(method, self.inbox.bytes(message))?.reply)
    }
}
