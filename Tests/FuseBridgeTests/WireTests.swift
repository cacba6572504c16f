import CLinux
import Glibc
import Testing
import VirtualFS

@testable import FuseBridge

@Suite struct WireTests {
    @Test func lifetimesNeverTrapAndNeverGrow() {
        for nothing in [0, -1, -.infinity, .nan] as [Double] {
            #expect(WireLifetime(nothing).seconds == 0 && WireLifetime(nothing).nanoseconds == 0)
        }
        for ever in [.infinity, .greatestFiniteMagnitude, 1e10] as [Double] {
            #expect(WireLifetime(ever).seconds == UInt64(Int32.max))
        }
        #expect(WireLifetime(1.5).seconds == 1 && WireLifetime(1.5).nanoseconds == 500_000_000)
        #expect(WireLifetime(0.999_999_999_9).nanoseconds == 999_999_999)
    }

    /// The answer is read back as the kernel does, for every buffer size around the size of one record.
    @Test(arguments: [false, true])
    func aListingHoldsWholeRecordsOnly(hasEntries: Bool) throws {
        let attributes = Attributes(node: NodeID(rawValue: 77), mode: S_IFREG | 0o600, size: 5)
        let entry = Entry(attributes, nameLifetime: 1, attributeLifetime: 2)
        let head = hasEntries ? 128 : 0
        for size in 0...600 {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
            defer { buffer.deallocate() }
            buffer.initializeMemory(as: UInt8.self, repeating: 0xff)
            var listing = DirectoryReply(buffer, hasEntries: hasEntries)
            var taken = 0
            while Array("name-\(taken)".utf8).withUnsafeBytes({ listing.append($0, entry, number: 77, next: UInt64(taken + 1)) }) { taken += 1 }
            var names: [String] = []
            var rest = UnsafeRawBufferPointer(listing.bytes)[...]
            while rest.count > 0 {
                let record = UnsafeRawBufferPointer(rebasing: rest)
                if hasEntries { #expect(record.load(as: larder_fuse_entry_out.self).nodeid == 77) }
                let fixed = record.load(fromByteOffset: head, as: larder_fuse_dirent.self)
                #expect(fixed.ino == 77 && fixed.off == UInt64(names.count + 1) && fixed.type == UInt32(DT_REG))
                names.append(String(decoding: record[(head + 24)..<(head + 24 + Int(fixed.namelen))], as: UTF8.self))
                let length = (head + 24 + Int(fixed.namelen) + 7) & ~7
                #expect(record[(head + 24 + Int(fixed.namelen))..<length].allSatisfy { $0 == 0 })
                rest = rest.dropFirst(length)
            }
            #expect(names == (0..<taken).map { "name-\($0)" })
            // "name-0" to "name-9" need 6 bytes, padded to 8.
            let record = head + 32
            #expect(taken >= 10 || taken == size / record)
        }
    }
}
