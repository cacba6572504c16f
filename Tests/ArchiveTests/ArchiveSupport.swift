import Glibc
import OCI
import Testing
@testable import Archive

/// A directory that goes away with its owner.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/larder-archive-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ToolFailed(command: "mkdtemp", status: errno) }
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { system("rm -rf '\(path)'") }

    /// Runs a shell script in the directory.
    func run(_ script: String) throws {
        let status = system("cd '\(path)' && set -e; \(script)")
        guard status == 0 else { throw ToolFailed(command: script, status: status) }
    }

    func read(_ name: String) throws -> [UInt8] { try readFile(path + "/" + name) }

    func write(_ bytes: [UInt8], to name: String) throws {
        guard let file = fopen(path + "/" + name, "w") else { throw ToolFailed(command: "fopen " + name, status: errno) }
        defer { fclose(file) }
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw ToolFailed(command: "fwrite " + name, status: errno) }
    }

    /// What Python's tarfile sees in the archive.
    func pythonListing(_ name: String) throws -> [String] {
        try run("python3 '\(fixture("list-tar.py"))' \(name) > listing")
        return try String(decoding: read("listing"), as: UTF8.self).split(separator: "\n").map(String.init)
    }
}

struct ToolFailed: Error {
    var command: String
    var status: Int32
}

func readFile(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw ToolFailed(command: "fopen " + path, status: errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&block, 1, block.count, file)
        if count == 0 { return bytes }
        bytes += block[..<count]
    }
}

func fixture(_ name: String) -> String {
    #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Fixtures/" + name
}

/// A stream of random numbers that a failing test can be run with again: its seed is printed.
struct SeededGenerator: RandomNumberGenerator {
    let seed: UInt64
    private var state: UInt64

    /// Takes the seed from `LARDER_SEED` if that is set.
    init(_ name: String) {
        self.init(seed: getenv("LARDER_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...UInt64(UInt32.max)))
        print("\(name): LARDER_SEED=\(seed)")
    }

    init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    /// splitmix64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

/// A source that hands out its bytes in pieces of odd sizes.
final class DribblingReader: ByteReader {
    private let bytes: [UInt8]
    private var position = 0
    private var generator: SeededGenerator

    init(_ bytes: [UInt8], seed: UInt64) {
        self.bytes = bytes
        generator = SeededGenerator(seed: seed)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - position, Int.random(in: 1...1500, using: &generator))
        guard count > 0 else { return 0 }
        buffer.copyBytes(from: bytes[position..<position + count])
        position += count
        return count
    }
}

func readAll(_ reader: any ByteReader) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 70_000)
    while true {
        let count = try block.withUnsafeMutableBytes { try reader.read(into: $0) }
        if count == 0 { return bytes }
        bytes += block[..<count]
    }
}

extension TarReader {
    /// The stored data of the current member.
    func readData() throws(ArchiveError) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 70_000)
        while true {
            let count = try ArchiveError.reading { try block.withUnsafeMutableBytes { try read(into: $0) } }
            if count == 0 { return bytes }
            bytes += block[..<count]
        }
    }

    /// All members with their content, holes filled in.
    func readMembers() throws(ArchiveError) -> [Member] {
        var members: [Member] = []
        while let entry = try next() { members.append(Member(entry: entry, content: entry.fillHoles(try readData()))) }
        return members
    }
}

struct Member: Equatable {
    var entry: ArchiveEntry
    var content: [UInt8]

    /// In the form that list-tar.py prints.
    var line: String {
        let path = Array(entry.path.reversed().drop { $0 == UInt8(ascii: "/") }.reversed())
        let attributes = entry.attributes.map { hex($0.name) + "=" + hex($0.value) }.sorted()
        return [
            path.isEmpty ? "-" : hex(path), "\(entry.kind)", String(entry.mode, radix: 8), "\(entry.uid)", "\(entry.gid)", "\(entry.size)",
            "\(entry.modified.seconds).\(entry.modified.nanoseconds)", entry.linkTarget.isEmpty ? "-" : hex(entry.linkTarget),
            "\(entry.deviceMajor):\(entry.deviceMinor)", entry.kind == .regular ? Digest(of: content).hex : "-",
            attributes.isEmpty ? "-" : attributes.joined(separator: ","),
        ].joined(separator: " ")
    }
}

extension ArchiveEntry {
    func fillHoles(_ stored: [UInt8]) -> [UInt8] {
        guard let extents else { return stored }
        var content = [UInt8](repeating: 0, count: Int(size))
        var position = 0
        for run in extents {
            content.replaceSubrange(Int(run.offset)..<Int(run.offset + run.length), with: stored[position..<position + Int(run.length)])
            position += Int(run.length)
        }
        return content
    }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

func members(of archive: [UInt8]) throws(ArchiveError) -> [Member] {
    try TarReader(MemoryReader(archive)).readMembers()
}

/// The error that reading the archive ends with, or nil.
func failure(of archive: [UInt8]) -> ArchiveError? {
    do throws(ArchiveError) {
        _ = try members(of: archive)
        return nil
    } catch {
        return error
    }
}
