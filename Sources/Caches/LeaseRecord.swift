import Glibc

/// Who holds an instance of a cache: the file `holders/TOKEN.json`, and `holder.json` in the mount's `leases/TOKEN/`.
///
/// Arguments of the command are not in it, since they can hold secrets.
public struct LeaseRecord: Sendable, Hashable, Codable {
    /// Names the lease; letters and digits.
    public let token: String
    public let cache: CacheName
    public let sharing: Sharing
    public let readOnly: Bool
    /// The instance: 0 is main; nil a fresh directory that goes with the lease.
    public let instance: Int?
    /// Of the cache, raised by every acquisition.
    public let epoch: UInt64
    public let since: Moment
    public let host: String
    /// The kernel's own name for this run of it (/proc/sys/kernel/random/boot_id); empty where it could not be had.
    public let boot: String
    /// The pid namespace in which `pid` is meant (the inode of /proc/self/ns/pid); 0 where it could not be had.
    public let pidNamespace: UInt64
    public let pid: Int32
    /// When that process started, in clock ticks after boot, as in /proc/PID/stat: tells it from a later one of the same pid.
    public let started: UInt64
    /// A random number of the process, the same in all its records.
    public let process: String
    public let uid: UInt32
    /// At most 200 bytes: a program and what it was asked to do, in one or two words.
    public let command: String

    init(
        token: String, cache: CacheName, sharing: Sharing, readOnly: Bool, instance: Int?, epoch: UInt64, by identity: HolderIdentity
    ) {
        self.token = token
        self.cache = cache
        self.sharing = sharing
        self.readOnly = readOnly
        self.instance = instance
        self.epoch = epoch
        since = .now
        host = identity.host
        boot = identity.boot
        pidNamespace = identity.pidNamespace
        pid = identity.pid
        started = identity.started
        process = identity.process
        uid = identity.uid
        command = identity.command
    }

    /// `larder run npm (process 4711 of uid 0 on builder-3) since 12:03:04`
    public var summary: String {
        let place = host == HolderIdentity.hostName ? "" : " on \(host)"
        return "\(command) (process \(pid) of uid \(uid)\(place)) since \(since.localText)"
    }

    /// `, held by A and B`; empty for nobody.
    static func list(_ records: [LeaseRecord]) -> String {
        guard let first = records.first else { return "" }
        switch records.count {
        case 1: return ", held by \(first.summary)"
        case 2: return ", held by \(first.summary) and \(records[1].summary)"
        default: return ", held by \(first.summary) and \(records.count - 1) others"
        }
    }
}

/// What a process says about itself in its records.
public struct HolderIdentity: Sendable {
    /// The most bytes of a command in a record.
    public static let commandLimit = 200

    let host: String
    let boot: String
    let pidNamespace: UInt64
    let pid: Int32
    let started: UInt64
    let process: String
    let uid: UInt32
    let command: String

    /// - Parameter command: a program and what it was asked to do, such as `larder run npm`; never arguments that could be
    ///   secret. Control characters and what is too long are cut.
    public init(command: String) {
        host = Self.hostName
        boot = ProcessStatus.boot
        pidNamespace = ProcessStatus.ownNamespace
        pid = getpid()
        started = ProcessStatus.ownStartTime
        process = Self.processName
        uid = geteuid()
        var text = ""
        for scalar in command.unicodeScalars where scalar.value >= 0x20 && scalar.value != 0x7f {
            if text.utf8.count + UTF8.width(scalar) > Self.commandLimit { break }
            text.unicodeScalars.append(scalar)
        }
        self.command = text.isEmpty ? "larder" : text
    }

    static let processName = String(UInt64.random(in: .min ... .max), radix: 16)

    static var hostName: String {
        var name = utsname()
        guard uname(&name) == 0 else { return "localhost" }
        return withUnsafeBytes(of: &name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
