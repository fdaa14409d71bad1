//! The files that a request is about.

use anyhow::Result;

use super::Request;
use super::current::Current;
use super::generated::Generator;
use crate::engine::configuration::Configuration;
use crate::host::program;

/// The files that a request is about.
pub(super) struct Files {
    /// The engine's configuration file.
    pub(super) main: Current,
    /// The drop-in file that may hold our runtime.
    pub(super) drop_in: Option<Current>,
    /// The program that writes the configuration file, if one does.
    pub(super) generator: Option<Generator>,
}

impl Files {
    pub(super) fn read(request: &Request) -> Result<Self> {
        let main = Current::read(request.config.clone())?;
        if main.text.is_none() {
            log::debug!(
                "{} does not exist: it is taken as empty",
                main.path.display()
            );
        }
        let generator = Generator::of(&main);
        let drop_in = request.drop_in_file(generator);
        Ok(Self {
            drop_in: drop_in.map(Current::read).transpose()?,
            generator,
            main,
        })
    }

    /// The program of the runtime `name`, if it is configured and the program exists.
    pub(super) fn working_program(
        &self,
        document: &dyn Configuration,
        name: &str,
    ) -> Option<String> {
        let files = self.drop_in.iter().chain([&self.main]);
        let paths = files.filter_map(|file| Some(document.find(file.text(), name).ok()??.path));
        paths
            .filter(|path| !path.is_empty())
            .find(|path| program::find_here(path.as_ref()).is_some())
    }

    /// The drop-in, if the runtime is in it: then one of the same name elsewhere is not ours.
    pub(super) fn drop_in_with(
        self,
        document: &dyn Configuration,
        name: &str,
    ) -> Result<(Current, Option<Current>)> {
        let Some(drop_in) = self.drop_in else {
            return Ok((self.main, None));
        };
        let found = document.find(drop_in.text(), name);
        let found = found.map_err(|err| drop_in.invalid(&err))?;
        Ok((self.main, found.map(|_| drop_in)))
    }
}
