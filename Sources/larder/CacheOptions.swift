import ArgumentParser
import Caches
import FoundationEssentials
import Glibc
import Store

/// How long to wait for a cache that others use.
struct LockOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Wait no longer than this for a cache that is in use, such as 90s or 5m (default: for ever).", valueName: "duration"))
    var lockTimeout: String?

    func limit() throws -> Duration? {
        try lockTimeout.map { try Settings.value(of: "--lock-timeout", $0, use: "a duration such as 90s, 5m or 1h30m", Quantity.duration) }
    }
}

extension Settings {
    /// - Parameter command: what this process's leases say that it is.
    func openCaches(create: Bool = false, command: String) throws -> CacheLibrary { CacheLibrary(try openStore(create: create), command: command) }
}

extension CacheLibrary {
    /// The cache that somebody means: by its name, or by the component that stands for it in `caches/`.
    func name(_ text: String) throws -> CacheName {
        guard let name = CacheName(text) else { throw CacheError.badName(text) }
        if !exists(name), let encoded = try self.name(encoded: Array(text.utf8)) { return encoded }
        return name
    }

    /// Acquires and says on standard error whom it waits for.
    func acquireAloud(_ requests: [LeaseRequest], timeout: Duration?) async throws -> LeaseSet {
        try await acquire(requests, timeout: timeout) { Terminal.error("larder: \($0.description)") }
    }

    /// How a cache of that name is made where nobody says otherwise: by the preset that has it, a namespace before it or not.
    static func defaultSettings(of name: CacheName) -> CacheSettings {
        let id = name.text.split(separator: "/").last.map(String.init) ?? name.text
        guard !name.text.hasPrefix("/"), let (preset, cache) = Preset.owning(cache: id) else { return CacheSettings() }
        return cache.settings(of: preset)
    }
}

/// What the shell offers.
enum CacheCompletion {
    static let name = CompletionKind.custom { words, _, _ in
        library(words).flatMap { try? $0.names().map(\.text) } ?? []
    }

    static let lease = CompletionKind.custom { words, _, _ in
        library(words).flatMap { try? $0.leases().map(\.token) } ?? []
    }

    static let preset = CompletionKind.list(Preset.all.map(\.name))
    static let sharing = CompletionKind.list(Sharing.allCases.map(\.rawValue))

    private static func library(_ words: [String]) -> CacheLibrary? {
        var options = StoreOptions()
        options.store = words.firstIndex(of: "--store").flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil }
        options.config = nil
        options.logLevel = "error"
        return try? Settings(store: options).openCaches(command: "larder completion")
    }
}

extension Sharing: ExpressibleByArgument {}

/// `UID` or `UID:GID`, in numbers.
struct OwnerArgument: ExpressibleByArgument {
    let owner: CacheOwner

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let uid = UInt32(parts[0]), let gid = UInt32(parts.last ?? ""), uid != .max, gid != .max else { return nil }
        owner = CacheOwner(uid: uid, gid: gid)
    }
}

extension Terminal {
    /// Columns under headings for people; one line of fields between tabs for programs.
    static func list(_ headings: [String], _ rows: [[String]]) {
        if isatty(STDOUT_FILENO) == 1 {
            table([headings] + rows)
        } else {
            for row in rows { output(row.joined(separator: "\t")) }
        }
    }
}

extension Duration {
    /// The one unit that fits: `45 s`, `12 min`, `3 h`, `9 d`.
    var roughText: String {
        let seconds = max(0, components.seconds)
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: "\(seconds / 86_400) d"
        }
    }
}

extension UInt64 {
    /// `1 file`, `2 files`.
    var filesText: String { self == 1 ? "1 file" : "\(self) files" }
}
