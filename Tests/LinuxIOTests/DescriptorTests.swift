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

    @Test func whatComesThroughAPipeIsReadToItsEnd() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let from = OwnedDescriptor(owning: ends[0])
        let to = OwnedDescriptor(owning: ends[1])
        try to.write(Array("one ".utf8))
        try to.write(Array("two three".utf8))
        #expect(try from.readToEnd(limit: 7) == Array("one two".utf8))
        _ = consume to
        #expect(try from.readToEnd(limit: 1000) == Array(" three".utf8))
        #expect(try from.readToEnd(limit: 1000).isEmpty)
        #expect(throws: SystemError.self) { try OwnedDescriptor.open(scratch.path, O_RDONLY | O_DIRECTORY).readToEnd(limit: 1) }
    }

    @Test(arguments: [0, 1, 65_535, 65_536, 65_537, 200_000])
    func aFileIsReadFromItsPositionToItsEndOrTheLimit(size: Int) throws {
        let content = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let file = try scratch.directory.open("f", O_RDWR | O_CREAT)
        try file.write(content, at: 0)
        #expect(try file.readToEnd(limit: size + 1) == content)
        lseek(file.raw, 0, SEEK_SET)
        #expect(try file.readToEnd(limit: size) == content)
        lseek(file.raw, 0, SEEK_SET)
        #expect(try file.readToEnd(limit: size / 2) == Array(content.prefix(size / 2)))
        #expect(try file.readToEnd(limit: size) == Array(content.dropFirst(size / 2)))
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
