import Glibc

/// One name in a directory.
public struct DirectoryEntry: Sendable, Hashable {
    /// The bytes of the name; neither empty nor `.` nor `..`.
    public let name: [UInt8]
    /// `DT_REG`, `DT_DIR`, ...; `DT_UNKNOWN` where the filesystem does not say.
    public let type: UInt8

    /// - Parameter name: neither empty nor `.` nor `..`, without `/` and NUL.
    public init(name: [UInt8], type: UInt8 = UInt8(DT_UNKNOWN)) {
        self.name = name
        self.type = type
    }

    /// The name for messages and for our own ASCII names: bytes that are not UTF-8 are replaced.
    public var text: String { String(decoding: name, as: UTF8.self) }

    /// Runs `body` with the name as system calls want it.
    public func withName<Value>(_ body: (UnsafePointer<CChar>) -> Value) -> Value {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.count + 1) { buffer in
            for (position, byte) in name.enumerated() { buffer[position] = CChar(bitPattern: byte) }
            buffer[name.count] = 0
            return body(UnsafePointer(buffer.baseAddress!))
        }
    }
}

extension Directory {
    /// The names in the directory in no order, without `.` and `..`.
    public func entries() throws(SystemError) -> [DirectoryEntry] {
        let own = openat(descriptor.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw failure("open", ".") }
        guard let stream = fdopendir(own) else {
            let error = failure("readdir", ".")
            close(own)
            throw error
        }
        defer { closedir(stream) }
        var entries: [DirectoryEntry] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw failure("readdir", ".") }
                return entries
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != [UInt8(ascii: ".")] && name != [UInt8(ascii: "."), UInt8(ascii: ".")] {
                entries.append(DirectoryEntry(name: name, type: entry.pointee.d_type))
            }
        }
    }

    /// The names in the directory, sorted. For directories whose names are our own.
    public func list() throws(SystemError) -> [String] { try entries().map(\.text).sorted() }
}
