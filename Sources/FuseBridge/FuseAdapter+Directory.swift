import CFuse
import Glibc
import VirtualFS

extension FuseAdapter {
    /// ENOSYS to OPENDIR: the kernel sends no more of them on this connection, nor their releases, and keeps every listing that ends as
    /// one may. libfuse would answer an absent operation with success, so it is said here.
    static func addDirectories(to operations: inout fuse_lowlevel_ops) {
        operations.opendir = { raw, _, _ in fuse_reply_err(FuseRequest(raw).take(), ENOSYS) }
        operations.readdir = { request, node, size, offset, _ in
            FuseAdapter.readDirectory(FuseRequest(request), FuseConnection.of(request).pointee, node, size, offset, wantsEntries: false)
        }
        operations.readdirplus = { request, node, size, offset, _ in
            FuseAdapter.readDirectory(FuseRequest(request), FuseConnection.of(request).pointee, node, size, offset, wantsEntries: true)
        }
    }

    private static func readDirectory(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ size: Int, _ offset: off_t, wantsEntries: Bool
    ) {
        let node = mount.node(node)
        let offset = UInt64(bitPattern: Int64(offset))
        do throws(FSError) {
            var listing = DirectoryReply(try ReplyBuffer.ofThisThread(size: size), hasEntries: wantsEntries)
            switch try listing.fill(from: offset, of: node, on: mount) {
            case .ready(let use): request.reply(listing.bytes, use)
            case .cold:
                let limit = DirectoryReply.leastCount(size: size, hasEntries: wantsEntries)
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    let start = DirectoryReply.position(offset)
                    let part = try await fileSystem.coldReadDirectory(node, from: start, wantsEntries: wantsEntries, limit: limit)
                    return .listing(part, of: node, from: offset, size: size, hasEntries: wantsEntries)
                }
            }
        } catch { request.reply(error) }
    }
}

extension FuseRequest {
    /// A part of a listing, the empty one being its end: then the kernel takes what it has gathered for whole, be it by this listing or
    /// by another one meanwhile. Too short for an entry, an answer ends a listing as well, and makes nothing whole.
    consuming func reply(_ bytes: UnsafeRawBufferPointer, _ use: ListingUse) {
        guard bytes.isEmpty, use == .once else { return reply(bytes: bytes) }
        reply(.bytes([0]))
    }
}
