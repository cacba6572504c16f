import Glibc
import LinuxIO
import Testing

@Suite struct DescriptorTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory() }

    @Test func writesLandWhereTheyAreSent() throws {
        let file = try scratch.directory.open("f", O_RDWR | O_CREAT)
        try Array("hello".utf8).withUnsafeBytes { try file.write($0) }
        try Array("J".utf8).withUnsafeBytes { try file.write($0, at: 0) }
        try Array("!".utf8).withUnsafeBytes { try file.write($0, at: 7) }
        #expect(try file.size() == 8)
        #expect(try file.readAll(limit: 8) == Array("Jello\0\0!".utf8))
        #expect(try file.readAll(limit: 7) == nil)
    }

    @Test func readsEndAtTheEndOfTheFile() throws {
        try scratch.write("f", "0123456789")
        let file = try scratch.directory.open("f", O_RDONLY)
        var buffer = [UInt8](repeating: 0, count: 8)
        #expect(try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: 4) } == 6)
        #expect(buffer.prefix(6) == Array("456789".utf8)[...])
        #expect(try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: 100) } == 0)
        #expect(try file.read(into: UnsafeMutableRawBufferPointer(start: nil, count: 0), at: 0) == 0)
    }

    @Test func anOffsetBeyondTheKernelsIsAnErrorAndNoTrap() throws {
        try scratch.write("f", "x")
        let file = try scratch.directory.open("f", O_RDWR)
        var buffer: [UInt8] = [0]
        for offset in [UInt64.max, UInt64(Int64.max) + 1] {
            #expect(throws: SystemError.self) { _ = try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: offset) } }
            #expect(throws: SystemError.self) { try [UInt8](repeating: 0, count: 1).withUnsafeBytes { try file.write($0, at: offset) } }
        }
    }

    @Test func aDuplicateOutlivesTheFirst() throws {
        try scratch.write("f", "kept")
        let copy: OwnedDescriptor
        do {
            let file = try scratch.directory.open("f", O_RDONLY)
            copy = try file.duplicate()
        }
        #expect(try copy.readAll(limit: 10) == Array("kept".utf8))
        #expect(fcntl(copy.raw, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func aMappedFileShowsItsBytes() throws {
        try scratch.write("f", "mapped")
        let file = try scratch.directory.open("f", O_RDONLY)
        let map = try MappedFile(file)
        #expect(Array(map.bytes) == Array("mapped".utf8))
        try scratch.write("empty", "")
        #expect(try MappedFile(scratch.directory.open("empty", O_RDONLY)).bytes.isEmpty)
    }
}
