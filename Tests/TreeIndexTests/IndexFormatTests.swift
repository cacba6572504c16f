import Archive
import Glibc
import LinuxIO
import OCI
import Testing

@testable import TreeIndex

@Suite struct IndexFormatTests {
    @Test func recordsLieAsTheFormatSays() {
        #expect(MemoryLayout<IndexHeader>.size == 344)
        #expect(MemoryLayout<TreeNode>.stride == 96 && MemoryLayout<TreeNode>.size == 96)
        #expect(MemoryLayout<DataRun>.stride == 24)
        #expect(MemoryLayout<ContentSpan>.stride == 80)
        #expect(MemoryLayout<ContentChunk>.stride == 64)
        #expect(MemoryLayout<FileObject>.stride == 40)
        #expect(MemoryLayout<LayerReference>.stride == 96)
        #expect(MemoryLayout<SpanStart>.stride == 16)
        let fields: [(PartialKeyPath<TreeNode>, Int)] = [
            (\.parent, 0), (\.first, 4), (\.count, 8), (\.nameOffset, 12), (\.nameLength, 16), (\.kindByte, 18), (\.flags, 19),
            (\.mode, 20), (\.uid, 24), (\.gid, 28), (\.size, 32), (\.modifiedSeconds, 40), (\.modifiedNanoseconds, 48),
            (\.linkCount, 52), (\.deviceMajor, 56), (\.deviceMinor, 60), (\.place, 64), (\.attributesOffset, 72),
            (\.attributesLength, 76), (\.layerSlot, 80), (\.layerOrdinal, 84), (\.objectPlusOne, 88),
        ]
        for (field, offset) in fields { #expect(MemoryLayout<TreeNode>.offset(of: field) == offset, "\(field)") }
        let headerFields: [(PartialKeyPath<IndexHeader>, Int)] = [
            (\.magic, 0), (\.version, 8), (\.what, 12), (\.format, 13), (\.checksum, 16), (\.fileSize, 48), (\.contentKey, 56),
            (\.blobDigest, 88), (\.diffID, 120), (\.blobSize, 152), (\.contentSize, 160),
        ]
        for (field, offset) in headerFields { #expect(MemoryLayout<IndexHeader>.offset(of: field) == offset, "\(field)") }
        let spanFields: [(PartialKeyPath<ContentSpan>, Int)] = [
            (\.contentStart, 0), (\.length, 8), (\.sourceOffset, 16), (\.sourceLength, 24), (\.firstChunk, 32), (\.chunkCount, 36),
            (\.flags, 72),
        ]
        let startFields: [(PartialKeyPath<SpanStart>, Int)] = [(\.windowOffset, 0), (\.windowLength, 8), (\.bits, 12), (\.kindByte, 13), (\.reserved, 14)]
        for (field, offset) in startFields { #expect(MemoryLayout<SpanStart>.offset(of: field) == offset, "\(field)") }
        for (field, offset) in spanFields { #expect(MemoryLayout<ContentSpan>.offset(of: field) == offset, "\(field)") }
    }

    @Test func aFileBeginsWithMagicVersionAndItsOwnSize() throws {
        let bytes = try TreeBuilder([.file("a")]).finish(.test).bytes
        #expect(text(bytes[0..<8]) == "LARDRIDX")
        #expect(Array(bytes[8..<12]) == [2, 0, 0, 0])
        #expect(bytes[48..<56].reversed().reduce(0) { $0 << 8 | Int($1) } == bytes.count)
        #expect(Digest(bytes: bytes[16..<48]) == Digest(of: Array(bytes[48...])))
        #expect(Digest(bytes: bytes[88..<120]) == .fake(2))
    }

    @Test func theIdentityComesBack() throws {
        #expect(try TreeIndex([]).identity == .test)
        var unproven = LayerIdentity.test
        unproven.diffID = nil
        unproven.format = .zstdChunked
        #expect(try TreeIndex([], identity: unproven).identity == unproven)
    }

    @Test func theSameMembersMakeTheSameBytes() throws {
        let entries: [ArchiveEntry] = [.file("b/x", size: 3), .link("a", to: "b/x"), .symlink("s", to: "t"), .file(".wh.w")]
        #expect(try TreeBuilder(entries).finish(.test).bytes == TreeBuilder(entries).finish(.test).bytes)
    }

    @Test func piecesWrittenAreTheWholeFile() throws {
        struct DiskFull: Error, Equatable {}
        let document = try TreeBuilder([.file("abc"), .file("de", size: 9)]).finish(.test)
        var written: [UInt8] = []
        document.write { written.append(contentsOf: $0) }
        #expect(written == document.bytes)
        #expect(written.count == document.byteCount)
        var pieces = 0
        #expect(throws: DiskFull()) {
            try document.write { (_) throws(DiskFull) in
                pieces += 1
                if pieces == 2 { throw DiskFull() }
            }
        }
        #expect(pieces == 2)
    }

    @Test func aMappedFileIsAnIndex() throws {
        var template = Array("/tmp/larder-index-XXXXXX".utf8CString)
        let raw = mkstemp(&template)
        try #require(raw >= 0)
        unlink(template)
        let descriptor = OwnedDescriptor(owning: raw)
        let bytes = try TreeBuilder([.file("abc")]).finish(.test).bytes
        let written = bytes.withUnsafeBytes { write(raw, $0.baseAddress, $0.count) }
        try #require(written == bytes.count)
        let index = try TreeIndex(validating: MappedFile(descriptor))
        #expect(index.paths == ["", "abc"])
    }
}
