import CFuse
import CLinux
import Glibc
import VirtualFS

extension FuseAdapter {
    static func addFiles(to operations: inout fuse_lowlevel_ops) {
        operations.open = { FuseAdapter.open(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.read = { FuseAdapter.read(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4) }
        operations.release = { FuseAdapter.release(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
    }

    private static func open(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ info: FileInfo
    ) {
        let node = mount.node(node)
        let flags = info?.pointee.flags ?? 0
        guard flags & (O_ACCMODE | O_TRUNC) == O_RDONLY else { return openToWrite(request, mount, node, flags) }
        do throws(FSError) {
            if let (file, way) = try mount.reopen(node) { return request.reply(file, of: node, way) }
            switch try mount.fileSystem.open(node, flags: flags) {
            case .ready(let file): request.reply(file, of: node)
            case .cold:
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .file(try await fileSystem.coldOpen(node, flags: flags), node)
                }
            }
        } catch { request.reply(error) }
    }

    private static func openToWrite(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: NodeID, _ flags: Int32) {
        let (caller, kills) = (request.caller, RequestBody.openFlags & UInt32(LARDER_FUSE_OPEN_KILL_SUIDGID) != 0)
        request.change(node, on: mount) { fileSystem, _, _ throws(FSError) in
            var flags = flags
            if kills {
                _ = try fileSystem.removePrivileges(node, handle: nil, for: caller)
                flags &= ~O_TRUNC
            }
            // What can be changed is on the disk, so there is nothing to fetch first.
            guard case .ready(let file) = try fileSystem.open(node, flags: flags) else { throw .io }
            return .file(file, node)
        }
    }

    private static func read(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t,
        _ size: Int, _ offset: off_t, _ info: FileInfo
    ) {
        let node = mount.node(node)
        let handle = info?.pointee.fh ?? 0
        do throws(FSError) {
            guard let offset = UInt64(exactly: offset) else { throw .invalid }
            let buffer = try ReplyBuffer.ofThisThread(size: size)
            switch try mount.fileSystem.read(node, handle: handle, at: offset, into: buffer) {
            case .ready(let count): request.reply(bytes: UnsafeRawBufferPointer(buffer.prefix(count)))
            case .cold:
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .bytes(try await fileSystem.coldRead(node, handle: handle, at: offset, count: size))
                }
            }
        } catch { request.reply(error) }
    }

    private static func release(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ info: FileInfo
    ) {
        mount.release(mount.node(node), handle: info?.pointee.fh ?? 0)
        request.replySuccess()
    }
}
