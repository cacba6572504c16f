/// What `larder run` was asked for, as it was typed.
public struct RunRequest: Sendable {
    /// Values of `--mount`, BuildKit's syntax.
    public var mounts: [String] = []
    public var secrets: [String] = []
    public var ssh: [String] = []
    public var presets: [String] = []
    /// `NAME=DIR` or `NAME=images/REF`: what `from=NAME` means.
    public var contexts: [String] = []
    /// Before every cache id, with a slash.
    public var namespace = ""
    /// Ids of caches that are not to be seen: each is a new empty directory for this run.
    public var fresh: [String] = []
    public var lockTimeout: Duration?
    public var workingDirectory: String?
    /// `NAME=VALUE`, or `NAME` for the value it has here.
    public var variables: [String] = []
    /// A directory, or `images/REF`.
    public var root: String?
    /// The program and its arguments, byte for byte.
    public var command: [[UInt8]]
    /// Of whoever asks.
    public var environment = EnvironmentBlock.current
    /// Absolute; where `bind` mounts without `from` come from.
    public var currentDirectory: String
    /// Whether waiting for a cache goes unmentioned.
    public var isQuiet = false
    /// The limit of open files that the command gets, where this process has changed its own.
    public var descriptorLimit: (soft: UInt64, hard: UInt64)?

    public init(command: [[UInt8]], currentDirectory: String) {
        self.command = command
        self.currentDirectory = currentDirectory
    }
}

/// An image's tree as a directory, for as long as it is needed.
public struct MountedImage: Sendable {
    /// Of the merged tree.
    public let path: String
    /// `NAME=VALUE` each, of the image's config.
    public let environment: [String]
    /// Of the image's config; empty for none.
    public let workingDirectory: String
    /// The process that serves it.
    public let helper: HelperProcess?
    /// Called once, when nothing uses it any more.
    public let close: @Sendable () -> Void

    public init(path: String, environment: [String], workingDirectory: String, helper: HelperProcess? = nil, close: @escaping @Sendable () -> Void) {
        self.path = path
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.helper = helper
        self.close = close
    }
}
