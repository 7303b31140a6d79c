//! The lies of a registry and of a catalog's server, in the order of what they are about.

/// Names each lie once.
macro_rules! lies {
    ($($(#[$doc:meta])+ $name:ident $(,)?)+) => {
        /// An answer of a registry, or of a catalog's server, that is broken or hostile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RegistryLie {
            $($(#[$doc])+ $name,)+
        }

        impl RegistryLie {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

lies! {
    /// Bytes that are no HTTP, for ever.
    Garbage,
    /// Headers that never end.
    EndlessHeaders,
    /// A body that never ends.
    EndlessBody,
    /// Chunks of a byte each, for ever.
    EndlessChunks,
    /// A status line that never ends.
    EndlessStatus,
    /// An end in the middle of an answer.
    CutOff,
    /// No answer, and an open connection.
    Nothing,
    /// The end of the connection in the place of an answer.
    Closed,
    /// A connection that is reset after the first bytes of an answer.
    Reset,
    /// A byte of a header now and then.
    Trickle,
    /// A byte of a body now and then.
    TrickledBody,
    /// Five thousand header lines.
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
    /// An upgrade that was not asked for.
    Upgrade,
    /// Answers to questions that were not asked.
    MoreAnswers,
    /// A body that is said to be packed, and is not.
    Encoded,

    /// A refusal in a long text that steers a terminal.
    Refusal,
    /// A status that does not exist.
    OddStatus,
    /// A failure of the server's, each time.
    AlwaysBroken,
    /// Too many requests: come back in a hundred years.
    CenturyLater,
    /// Too many requests: come back at a time that is none.
    OddlyLater,

    /// A blob lies on another port: it does, and the login must not go along.
    RedirectElsewhere,
    /// Another port, which wants a password.
    RedirectToBasic,
    /// Another port, which wants a token of its own token server.
    RedirectToBearer,
    /// The same, of a registry that has got the password itself.
    RedirectFromBasic,
    /// Another port, which sends back to where a password is wanted.
    RedirectThereAndBack,
    /// The same address again.
    RedirectLoop,
    /// Another address each time.
    RedirectOn,
    /// A file of this machine.
    RedirectToFile,
    /// An address of the network link.
    RedirectToLink,
    /// An address with a user and a password in it.
    RedirectWithLogin,
    /// An address that steers a terminal.
    RedirectInText,
    /// An address of fifty kilobytes.
    RedirectLong,
    /// A manifest that lies elsewhere, where a password is wanted.
    RedirectOfManifest,

    /// A token server on another port.
    RealmElsewhere,
    /// A token server on the same machine by another name.
    RealmOnOtherHost,
    /// A token server that is a file.
    RealmIsFile,
    /// A token server with a user in its address.
    RealmWithLogin,
    /// A token server whose address steers a terminal.
    RealmInText,
    /// The token server sends on to another port.
    RealmRedirects,
    /// A challenge that is none.
    OddChallenge,
    /// A challenge that steers a terminal.
    ChallengeInText,
    /// Thousands of challenges.
    ManyChallenges,
    /// A challenge whatever is answered.
    EndlessChallenge,
    /// A scope and a service with more fields in them.
    OddScope,
    /// A token that never ends.
    EndlessToken,
    /// A token of nearly a megabyte.
    HugeToken,
    /// A token with headers behind it.
    TokenWithHeaders,
    /// Another thing than a token.
    NoToken,

    /// JSON that is none.
    NotJson,
    /// JSON that is nested without end.
    DeepJson,
    /// JSON of more bytes than a manifest may have.
    HugeJson,
    /// The right names with values of other types.
    WrongTypes,
    /// Each name twice.
    TwiceNamed,
    /// A media type that steers a terminal.
    OddMediaType,
    /// A header that names another digest.
    OtherDigestHeader,
    /// An index whose manifest is another than its digest.
    OtherManifest,
    /// An index whose manifest is longer than it says.
    OtherManifestSize,
    /// An index that leads to itself.
    IndexOfItself,
    /// An index of an index of an index, and so on.
    IndexChain,
    /// An index of thousands of platforms whose names steer a terminal.
    ManyPlatforms,
    /// Thousands of layers.
    ManyLayers,
    /// A layer twice, of two sizes.
    LayerOfTwoSizes,
    /// A layer of a negative size.
    NegativeSize,
    /// A layer of an exabyte.
    HugeSize,
    /// Layers whose sizes add up to more than a number holds.
    SizesOverflow,
    /// A layer that is to be fetched elsewhere.
    ForeignLayer,
    /// A digest that is a path.
    DigestOfDots,
    /// A digest of another algorithm.
    OtherAlgorithm,
    /// A configuration of four gigabytes.
    HugeConfig,

    /// Another blob of the same length.
    OtherBlob,
    /// A blob that is longer than the manifest says.
    LongerBlob,
    /// A blob that is shorter.
    ShorterBlob,
    /// A blob of nothing.
    EmptyBlob,
    /// What breaks off is continued by other bytes.
    ResumedOther,
    /// What breaks off is continued from its start, and said to go on.
    ResumedFromStart,
    /// What breaks off is continued at another place.
    ResumedElsewhere,
    /// What breaks off is continued at a place that is none.
    ResumedNowhere,
    /// What breaks off cannot be continued.
    ResumeRefused,
    /// What breaks off breaks off again after some bytes.
    CutAgain,
    /// Another configuration of the same length.
    OtherConfig,

    /// Half a gigabyte of zeros in half a megabyte of gzip.
    GzipBomb,
    /// A gigabyte of zeros in 33 kilobytes of zstd.
    ZstdBomb,
    /// A quarter of a gigabyte that is not zeros in eight kilobytes.
    FullBomb,
    /// A window that no memory holds.
    GiantWindow,
    /// Very many empty members of gzip.
    ManyMembers,
    /// Very many frames of zstd that are to be skipped.
    ManyFrames,
    /// A gzip header whose name never ends.
    GzipName,
    /// Packed data that is none.
    BadGzip,
    /// The same of zstd.
    BadZstd,
    /// Another archive than the configuration names.
    OtherContent,
    /// Packed otherwise than it says.
    Mislabelled,
    /// A layer a hundred times.
    LayerAgain,
    /// Names that lead out by dots.
    Dots,
    /// Names that begin at the root.
    Absolute,
    /// A link that leads out, and a file behind it.
    ThroughLink,
    /// The same over two layers.
    ThroughOlderLink,
    /// A second name for a file outside.
    HardLink,
    /// Whiteouts of what is outside.
    WhiteoutOutside,
    /// Whiteouts of the root and of nothing.
    OddWhiteouts,
    /// Devices and pipes.
    Devices,
    /// Set-id bits, capabilities, and attributes of overlays.
    SetId,
    /// A hole of a petabyte.
    Hole,
    /// Holes that are too large together.
    Holes,
    /// A length of a petabyte.
    LargeFile,
    /// A length that is negative.
    NegativeLength,
    /// A length beyond what is signed, by a header of its own.
    OverflowingLength,
    /// Very many headers before one member.
    EndlessRecords,
    /// Very many headers for all members.
    EndlessGlobals,
    /// A header of eight gigabytes.
    GiantRecord,
    /// Ten thousand files.
    ManyFiles,
    /// One name, very often.
    SameFile,
    /// Files with more attributes than an image may have, together.
    ManyAttributes,
    /// Ten thousand files, each in a hundred and twenty-four folders of its own: 75 kilobytes.
    DeepFolders,
    /// The same in a newer layer.
    DeepFoldersOnTop,
    /// Links to links to links.
    LinkChain,
    /// Links that become longer and longer.
    LinkExpansion,
    /// A name of four hundred bytes.
    LongName,
    /// Names that steer a terminal, fine in themselves.
    NamesInText,
    /// Such a name in an archive that is refused.
    FaultInText,
    /// A zero byte in a name.
    ZeroInName,
    /// The root is a file.
    RootIsFile,
    /// An archive that ends in a member.
    Truncated,

    /// Variables with lines in them, and others.
    OddVariables,
    /// A variable that is none, in a text that steers a terminal.
    BadVariable,
    /// A user that is none.
    OddUser,
    /// A folder that leads out.
    OddFolder,
    /// A command longer than Linux takes.
    HugeCommand,
    /// A history of three megabytes.
    LongHistory,
    /// Very many labels and ports.
    ManyLabels,
    /// Labels and commands that steer a terminal.
    LabelsInText,
    /// A system that does not exist, in such a text.
    OddPlatform,
    /// Fewer layers than the manifest has.
    FewerLayers,
    /// JSON that is nested without end.
    DeepConfig,

    /// A mirror that wants the login.
    MirrorWantsLogin,
    /// A mirror that wants the login at its token server.
    MirrorWantsToken,
    /// A mirror whose blobs are others.
    MirrorOfOthers,

    /// A catalog that is no JSON.
    CatalogNotJson,
    /// JSON that is nested without end.
    CatalogDeep,
    /// More bytes than a catalog may have.
    CatalogHuge,
    /// More entries than a catalog may have.
    CatalogMany,
    /// A name that leads out.
    CatalogDots,
    /// A description that steers a terminal.
    CatalogText,
    /// An unknown key that does.
    CatalogKey,
    /// A bundle that is a file of this machine.
    CatalogToFile,
    /// A bundle whose path leads out.
    CatalogPath,
    /// A bundle of an exabyte.
    CatalogSize,
    /// A sum that is none.
    CatalogSum,
    /// A name twice.
    CatalogTwice,
    /// A version to come.
    CatalogFuture,
    /// A signature, which no version checks.
    CatalogSigned,
    /// A bundle that lies on another port: it does, and no login must go along.
    CatalogElsewhere,
    /// The catalog sends its client in a circle.
    CatalogLoop,
    /// The catalog sends its client to a file.
    CatalogRedirectToFile,
    /// The catalog wants the login.
    CatalogWantsLogin,
    /// A refusal that steers a terminal.
    CatalogRefusal,

    /// Another bundle of the same length.
    BundleOther,
    /// A bundle that is longer than the catalog says.
    BundleLonger,
    /// A bundle that is shorter.
    BundleShorter,
    /// A bundle that is not packed as bundles are.
    BundleNotPacked,
    /// A window that no memory holds.
    BundleWindow,
    /// A quarter of a gigabyte in the place of a root file system.
    BundleBomb,
    /// The same behind the archive's end.
    BundlePadding,
    /// The same in the place of a manifest.
    BundleManifest,
    /// Names that lead out by dots.
    BundleDots,
    /// A link in the place of the root file system.
    BundleLink,
    /// A device in its place.
    BundleDevice,
    /// A member more than there should be.
    BundleMore,
    /// A name that is another, and leads out.
    BundleName,
    /// A root file system that is another than the manifest says.
    BundleRootfs,
    /// What it says of running it steers a terminal.
    BundleConfig,
    /// It says so in values that a container image may not have.
    BundleOddConfig,
    /// A kernel in the place of an image.
    BundleKind,

    /// A module whose path leads out.
    KernelDots,
    /// A module that is a link.
    KernelLink,
    /// A kernel that is none.
    KernelNone,
    /// A kernel of a gigabyte.
    KernelHuge,
    /// A version that leads out.
    KernelVersion,
    /// A version that steers a terminal.
    KernelText,
    /// Thousands of modules that are none.
    KernelModules,
    /// An initrd of gigabytes.
    KernelInitrd,
}
