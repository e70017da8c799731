//! Exit codes: a contract with scripts, listed in the manual.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked. Also when the reader of its output has gone.
    Success,
    /// It failed, for a reason none of the others names.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The daemon cannot be reached.
    Daemon,
    /// The user may not do this.
    Denied,
    /// The server could not be used; the machine stays blocked.
    Server,
    /// The machine lacks something that is needed.
    Machine,
    /// The tunnel is in a state in which this cannot be done.
    State,
    /// The user stopped it with Ctrl-C.
    Interrupted,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::Daemon,
        Self::Denied,
        Self::Server,
        Self::Machine,
        Self::State,
        Self::Interrupted,
    ];

    /// The number the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Daemon => 3,
            Self::Denied => 4,
            Self::Server => 5,
            Self::Machine => 6,
            Self::State => 7,
            Self::Interrupted => 130,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "It did what was asked.",
            Self::Failed => "It failed; standard error says why.",
            Self::Usage => "The command line is wrong.",
            Self::Daemon => "The daemon cannot be reached.",
            Self::Denied => "You may not do this.",
            Self::Server => "The server could not be used; the machine stays blocked.",
            Self::Machine => "The machine lacks something that is needed.",
            Self::State => "The tunnel is in a state in which this cannot be done.",
            Self::Interrupted => "Stopped with Ctrl-C.",
        }
    }

    /// How another run of this program ended, which names the same codes.
    pub(crate) fn of(status: std::process::ExitStatus) -> Self {
        Self::ALL
            .into_iter()
            .find(|exit| status.code() == Some(exit.code().into()))
            .unwrap_or(Self::Failed)
    }

    /// Every code with its meaning, in order.
    pub(crate) const TABLE: [(u8, &'static str); 9] = {
        let mut table = [(0, ""); 9];
        let mut index = 0;
        while index < Self::ALL.len() {
            #[expect(clippy::indexing_slicing, reason = "both arrays have this length")]
            {
                table[index] = (Self::ALL[index].code(), Self::ALL[index].meaning());
            }
            index += 1;
        }
        table
    };
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
