//! The ways in which a guest lies.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::patches;

/// The enumeration, and the list of all that is in it.
macro_rules! lies {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// An answer of an agent that is broken or hostile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Lie {
            $($(#[$about])* $name,)*
        }

        impl Lie {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

lies! {
    /// Bytes that are no HTTP, for ever.
    Garbage,
    /// An HTTP answer whose headers never end.
    EndlessHeaders,
    /// An HTTP answer whose body never ends.
    EndlessBody,
    /// An HTTP answer that says it is JSON and is not.
    NotJson,
    /// An HTTP answer that ends in its middle.
    CutOff,
    /// No answer, and an open connection.
    Nothing,
    /// The end of the connection in the place of an answer.
    Closed,
    /// A byte of an answer now and then.
    Trickle,
    /// More header lines than anybody sends.
    ManyHeaders,
    /// A length that no memory holds, and a few bytes.
    GiantLength,
    /// Fewer bytes told than sent.
    ShortLength,
    /// Two lengths that differ.
    TwoLengths,
    /// A length that is none.
    NoLength,
    /// A chunk that is longer than memory.
    GiantChunk,
    /// `100 Continue`, for ever.
    EndlessContinue,
    /// Another place to ask.
    Redirect,
    /// An upgrade that nobody asked for, and bytes.
    Upgrade,
    /// Answers to questions that nobody asked.
    MoreAnswers,
    /// A JSON that is nested without end.
    DeepJson,
    /// The right names with values of other types.
    WrongTypes,
    /// Numbers at the edge.
    LargestNumbers,
    /// Texts of a megabyte.
    LongTexts,
    /// Texts that steer a terminal.
    Escapes,
    /// A refusal in such a text.
    Refusal,
    /// A refusal with a code that does not exist.
    OddRefusal,
    /// Thousands of whatever is listed.
    Many,
    /// A frame of four gigabytes.
    LongFrame,
    /// A frame of a kind that does not exist.
    OddFrame,
    /// A command that never ends though its stream does.
    NoExit,
    /// An end that is none.
    BadExit,
    /// Output after the end.
    AfterExit,
    /// Output without end.
    OutputFlood,
    /// Complaints without end.
    ErrorFlood,
    /// Frames without anything in them, without end.
    EmptyFrames,
    /// Bytes of a forwarded connection without end, whatever is said.
    StreamFlood,
    /// Another name than the one asked for.
    OtherName,
    /// A tree of other names.
    OtherTree,
    /// A second tree behind the one asked for.
    SecondTree,
    /// What is in a folder, in the place of the folder.
    Contents,
    /// Names that lead out by dots.
    Dots,
    /// Names that begin at the root.
    Absolute,
    /// A link that leads out, and a file behind it.
    ThroughLink,
    /// A second name for a file outside.
    HardLink,
    /// Set-id bits and capabilities.
    SetId,
    /// Devices and pipes.
    Devices,
    /// A hole of a petabyte.
    Hole,
    /// Holes that are too large together.
    Holes,
    /// A length of a petabyte.
    LargeFile,
    /// Headers of one member, without end.
    EndlessRecords,
    /// Warnings, without end.
    EndlessWarnings,
    /// Bytes behind the end, without end.
    EndlessEnd,
    /// Lengths that are negative.
    NegativeLength,
    /// A failure in a long text that steers a terminal.
    Failure,
    /// A patch with files that are run by whoever opens the folder, under names that steer a terminal.
    RiskyPatch,
    /// A patch of files below `.git`, however that may be spelt.
    PatchOfGit,
    /// A patch whose names lead out.
    PatchOut,
    /// A patch with a link, and a file behind it.
    PatchThroughLink,
    /// A patch of a bare repository in a folder.
    PatchOfRepository,
    /// A patch with a file of a terabyte in a few bytes.
    GiantPatch,
    /// A patch without end.
    EndlessPatch,
    /// An id of a commit, and bytes that are no objects.
    OddPack,
    /// An object of a terabyte in a few bytes.
    GiantPack,
    /// Objects without end.
    EndlessPack,
    /// An id that steers a terminal.
    OddCommit,
    /// Work in the way, under names that steer a terminal, and a complaint that does.
    WorkInTheWay,
    /// Bytes on the channel that are no frames.
    WireJunk,
    /// A host that opens a session is never acknowledged, and hears much else.
    WireUnanswered,
    /// The channel is opened and nothing is read from it any more.
    WireUnread,
    /// All is read, and no stream is taken.
    WireUntaken,
    /// A frame that does not end.
    WireHalfFrame,
    /// Frames of sessions that there are not.
    WireOtherSessions,
    /// The ends of sessions, and their beginnings, from the wrong side.
    WireResets,
    /// Pings of the multiplexer.
    WirePings,
    /// Answers to pings that were none.
    WirePongs,
    /// Streams that a guest opens, by the thousand.
    WireStreams,
    /// The same with as much in each as it may hold.
    WireFullStreams,
    /// Credit of gigabytes, over and over.
    WireCredit,
    /// Data of streams that there are not.
    WireUnknownStreams,
    /// A multiplexer's frame of four gigabytes.
    WireGiantFrame,
    /// The ends of all streams, over and over.
    WireStreamResets,
    /// The end of the session as soon as there is one.
    WireFarewells,
    /// Data of the streams that there are, byte by byte.
    WireMotes,
    /// Data of the streams that there are, whatever they may hold.
    WireOverrun,
}

impl Lie {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|lie| lie.name() == name)
    }

    /// Whether it is about a workspace's changes or commits.
    #[must_use]
    pub fn is_of_workspaces(self) -> bool {
        patches::of(self).is_some()
    }

    /// Whether it is told on the channel itself, below any request.
    #[must_use]
    pub fn is_of_the_wire(self) -> bool {
        self.name().starts_with("Wire")
    }

    /// Whether a copy of files may end well all the same: what is wrong is left out.
    #[must_use]
    pub fn is_left_out(self) -> bool {
        matches!(self, Self::SetId | Self::Devices)
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
