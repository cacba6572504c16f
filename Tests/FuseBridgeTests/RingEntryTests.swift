import CLinux
import Glibc
import Testing

@testable import FuseBridge

@Suite struct RingEntryTests {
    private let payloadSize = 8192

    /// Puts a request into the entry as the kernel does.
    private func put(_ entry: RingEntry, opcode: UInt32, unique: UInt64, arguments: [UInt8], names: [UInt8], length: Int? = nil) {
        let header = entry.buffers[0].iov_base.assumingMemoryBound(to: larder_fuse_ring_header.self)
        var head = larder_fuse_in_header()
        head.len = UInt32(length ?? 40 + arguments.count + names.count)
        head.opcode = opcode
        head.unique = unique
        UnsafeMutableRawPointer(header).storeBytes(of: head, as: larder_fuse_in_header.self)
        UnsafeMutableRawPointer(header).advanced(by: 128).copyMemory(from: arguments, byteCount: arguments.count)
        header.pointee.commit_id = unique
        header.pointee.payload_size = UInt32(names.count)
        entry.buffers[1].iov_base.copyMemory(from: names, byteCount: names.count)
    }

    @Test(arguments: [0, 8, 24, 40, 128])
    func aRequestIsOneMessageAgain(argumentSize: Int) throws {
        let entry = try #require(RingEntry(queue: 3, payloadSize: payloadSize))
        let arguments = (0..<argumentSize).map { UInt8($0) }
        let names = Array("a name\0another\0".utf8)
        put(entry, opcode: 35, unique: 0x1234, arguments: arguments, names: names)
        let message = entry.receive()
        let head = message.loadUnaligned(as: larder_fuse_in_header.self)
        #expect(head.opcode == 35 && head.unique == 0x1234 && Int(head.len) == message.count)
        #expect(Array(message.dropFirst(40)) == arguments + names)
        #expect(entry.unique.load(ordering: .relaxed) == 0x1234 && entry.commitID == 0x1234)
    }

    /// The kernel would not; but what it says is not to lead out of the memory.
    @Test func lengthsThatContradictEachOtherStayInside() throws {
        let entry = try #require(RingEntry(queue: 0, payloadSize: payloadSize))
        for length in [0, 39, 40, 41, 169, 1 << 31] {
            put(entry, opcode: 1, unique: 2, arguments: [], names: [1], length: length)
            #expect(40...(40 + 128 + 1) ~= entry.receive().count)
        }
        put(entry, opcode: 1, unique: 2, arguments: [], names: [])
        entry.buffers[0].iov_base.assumingMemoryBound(to: larder_fuse_ring_header.self).pointee.payload_size = .max
        #expect(entry.receive().count == 40 + payloadSize)
    }

    private func answer(_ entry: RingEntry, _ parts: [[UInt8]], error: Int32 = 0) -> (size: Int, head: larder_fuse_out_header, payload: [UInt8]) {
        var head = larder_fuse_out_header(len: 16, error: error, unique: 7)
        let size = withUnsafeMutableBytes(of: &head) { head in
            let copies = parts.map { part in
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
                copy.copyBytes(from: part)
                return copy
            }
            defer { for copy in copies { copy.deallocate() } }
            let vectors = [iovec(iov_base: head.baseAddress, iov_len: 16)] + copies.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
            return vectors.withUnsafeBufferPointer { entry.answer($0) }
        }
        let header = entry.buffers[0].iov_base.assumingMemoryBound(to: larder_fuse_ring_header.self)
        let payload = UnsafeRawBufferPointer(start: entry.buffers[1].iov_base, count: Int(header.pointee.payload_size))
        return (size, UnsafeRawPointer(header).loadUnaligned(as: larder_fuse_out_header.self), Array(payload))
    }

    @Test func anAnswerIsItsPartsInARow() throws {
        let entry = try #require(RingEntry(queue: 0, payloadSize: payloadSize))
        put(entry, opcode: 15, unique: 7, arguments: [], names: [])
        _ = entry.receive()
        let whole = answer(entry, [[1, 2], [], [3]])
        #expect(whole.size == 19 && whole.head.len == 19 && whole.head.unique == 7 && whole.payload == [1, 2, 3])
        #expect(entry.unique.load(ordering: .relaxed) == 0, "it is answered")
        #expect(entry.commitID == 7)
        let failure = answer(entry, [], error: -ENOENT)
        #expect(failure.size == 16 && failure.head.error == -ENOENT && failure.payload.isEmpty)
    }

    @Test func anAnswerThatIsTooLongIsAnError() throws {
        let entry = try #require(RingEntry(queue: 0, payloadSize: payloadSize))
        let most = answer(entry, [[UInt8](repeating: 1, count: payloadSize)])
        #expect(most.payload.count == payloadSize)
        let more = answer(entry, [[UInt8](repeating: 1, count: payloadSize), [1]])
        #expect(more.size == 16 && more.head.error == -EIO && more.payload.isEmpty)
    }
}
