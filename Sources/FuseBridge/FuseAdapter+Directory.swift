import CFuse
import Glibc
import VirtualFS

extension FuseAdapter {
    static func addDirectories(to operations: inout fuse_lowlevel_ops) {
        operations.opendir = { FuseAdapter.openDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.releasedir = { FuseAdapter.releaseDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.readdir = {
            FuseAdapter.readDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, wantsEntries: false)
        }
        operations.readdirplus = {
            FuseAdapter.readDirectory(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, wantsEntries: true)
        }
    }

    private static func openDirectory(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _: FileInfo
    ) {
        let node = mount.node(node)
        do throws(FSError) {
            switch try mount.fileSystem.openDirectory(node) {
            case .ready(let directory): request.reply(directory, of: node)
            case .cold:
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .directory(try await fileSystem.coldOpenDirectory(node), node)
                }
            }
        } catch { request.reply(error) }
    }

    private static func readDirectory(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t,
        _ size: Int, _ offset: off_t, _ info: FileInfo,
        wantsEntries: Bool
    ) {
        let node = mount.node(node)
        do throws(FSError) {
            var listing = DirectoryReply(try ReplyBuffer.ofThisThread(size: size), hasEntries: wantsEntries)
            try listing.fill(from: UInt64(bitPattern: Int64(offset)), of: node, handle: info?.pointee.fh ?? 0, on: mount)
            request.reply(bytes: listing.bytes)
        } catch { request.reply(error) }
    }

    private static func releaseDirectory(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ info: FileInfo
    ) {
        mount.fileSystem.releaseDirectory(mount.node(node), handle: info?.pointee.fh ?? 0)
        request.replySuccess()
    }
}
