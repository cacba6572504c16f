import Glibc

/// The variables of a process, byte for byte, in their order.
public struct EnvironmentBlock: Sendable, Equatable {
    /// `NAME=VALUE` each.
    public private(set) var entries: [[UInt8]]

    /// - Parameter entries: of a name that comes twice, the first counts, as in getenv(3).
    public init(_ entries: [[UInt8]] = []) { self.entries = entries }

    /// This process's own.
    public static var current: EnvironmentBlock {
        var entries: [[UInt8]] = []
        var entry = environ
        while let text = entry.pointee {
            entries.append(Array(UnsafeBufferPointer(start: UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self), count: strlen(text))))
            entry += 1
        }
        return EnvironmentBlock(entries)
    }

    public mutating func set(_ name: String, _ value: some Collection<UInt8>) {
        remove(name)
        entries.append(Array(name.utf8) + [UInt8(ascii: "=")] + value)
    }

    public mutating func set(_ name: String, _ value: String) { set(name, Array(value.utf8)) }

    public mutating func remove(_ name: String) {
        let prefix = Array(name.utf8) + [UInt8(ascii: "=")]
        entries.removeAll { $0.starts(with: prefix) }
    }

    public subscript(name: String) -> [UInt8]? {
        let prefix = Array(name.utf8) + [UInt8(ascii: "=")]
        return entries.first { $0.starts(with: prefix) }.map { Array($0.dropFirst(prefix.count)) }
    }

    /// For text: bytes that are not UTF-8 are replaced.
    public var variables: [String: String] {
        var result: [String: String] = [:]
        for entry in entries {
            guard let equals = entry.firstIndex(of: UInt8(ascii: "=")), equals > 0 else { continue }
            let name = String(decoding: entry[..<equals], as: UTF8.self)
            if result[name] == nil { result[name] = String(decoding: entry[(equals + 1)...], as: UTF8.self) }
        }
        return result
    }

    /// The paths that execvp(3) tries for `program`: itself where it has a slash, else one for each directory of PATH.
    public func candidates(for program: [UInt8]) -> [[UInt8]] {
        if program.contains(UInt8(ascii: "/")) || program.isEmpty { return [program] }
        // glibc's default.
        let path = self["PATH"] ?? Array("/bin:/usr/bin".utf8)
        return path.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map { directory in
            directory.isEmpty ? program : directory + [UInt8(ascii: "/")] + program
        }
    }
}
