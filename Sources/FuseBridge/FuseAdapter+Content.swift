import CFuse
import CLinux
import Glibc
import VirtualFS

/// Operations that change a file's content or attributes, and those that see to it that changes last.
extension FuseAdapter {
    static func addChanges(to operations: inout fuse_lowlevel_ops) {
        operations.setattr = { raw, node, _, _, _ in FuseAdapter.setAttributes(FuseRequest(raw), FuseConnection.of(raw).pointee, node) }
        operations.write = { FuseAdapter.write(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, $5) }
        operations.fallocate = { FuseAdapter.allocate(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, $5) }
        operations.copy_file_range = { raw, source, sourceOffset, sourceInfo, target, targetOffset, targetInfo, length, flags in
            FuseAdapter.copyRange(
                FuseRequest(raw), FuseConnection.of(raw).pointee, source, sourceOffset, sourceInfo, target, targetOffset, targetInfo,
                length, flags)
        }
        operations.setxattr = { FuseAdapter.setAttribute(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4, $5) }
        operations.removexattr = { FuseAdapter.removeAttribute(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
    }

    /// FSYNC, FSYNCDIR and LSEEK change nothing. Where nothing ever changes they are left out, and the kernel stops asking.
    static func addSynchronization(to operations: inout fuse_lowlevel_ops) {
        operations.fsync = { FuseAdapter.synchronize(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3) }
        operations.fsyncdir = { FuseAdapter.synchronize(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3) }
        operations.lseek = { FuseAdapter.seek(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2, $3, $4) }
    }

    private static func setAttributes(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t) {
        guard let body = RequestBody.setAttributes else { return request.reply(.invalid) }
        let (node, caller) = (mount.node(node), request.caller)
        let change = AttributeChange(body)
        let handle = body.valid & UInt32(LARDER_FATTR_FH) != 0 ? body.fh : nil
        request.change(node, on: mount) { fileSystem, _, _ throws(FSError) in
            .attributes(try fileSystem.setAttributes(node, handle: handle, change, for: caller))
        }
    }

    private static func write(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ bytes: Name, _ count: Int,
        _ offset: off_t, _ info: FileInfo
    ) {
        guard let offset = UInt64(exactly: offset) else { return request.reply(.invalid) }
        let (node, handle) = (mount.node(node), info?.pointee.fh ?? 0)
        let kills = RequestBody.writeFlags & UInt32(LARDER_FUSE_WRITE_KILL_SUIDGID) != 0
        request.change(node, on: mount, UnsafeRawBufferPointer(start: bytes, count: count)) { fileSystem, bytes, _ throws(FSError) in
            .count(try fileSystem.write(node, handle: handle, at: offset, bytes, killsPrivileges: kills))
        }
    }

    private static func allocate(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ mode: Int32, _ offset: off_t,
        _ length: off_t, _ info: FileInfo
    ) {
        guard let offset = UInt64(exactly: offset), let length = UInt64(exactly: length) else { return request.reply(.invalid) }
        let (node, handle) = (mount.node(node), info?.pointee.fh ?? 0)
        request.change(node, on: mount, isLong: true) { fileSystem, _, _ throws(FSError) in
            try fileSystem.allocate(node, handle: handle, mode: mode, offset: offset, length: length)
            return .done
        }
    }

    /// The answer has 32 bits for the count.
    private static let copyLimit: UInt64 = 0x7fff_f000

    private static func copyRange(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ source: fuse_ino_t, _ sourceOffset: off_t,
        _ sourceInfo: FileInfo, _ target: fuse_ino_t, _ targetOffset: off_t, _ targetInfo: FileInfo, _ length: Int, _ flags: Int32
    ) {
        guard let sourceOffset = UInt64(exactly: sourceOffset), let targetOffset = UInt64(exactly: targetOffset) else {
            return request.reply(.invalid)
        }
        let (source, handle, target, targetHandle) = (
            mount.node(source), sourceInfo?.pointee.fh ?? 0, mount.node(target), targetInfo?.pointee.fh ?? 0
        )
        let length = min(UInt64(UInt(bitPattern: length)), copyLimit)
        request.change(target, on: mount, isLong: true) { fileSystem, _, _ throws(FSError) in
            let copied = try fileSystem.copyRange(
                from: source, handle: handle, at: sourceOffset, to: target, handle: targetHandle, at: targetOffset, length: length,
                flags: UInt32(bitPattern: flags))
            return .count(Int(copied))
        }
    }

    private static func setAttribute(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ name: Name, _ value: Name,
        _ count: Int, _ flags: Int32
    ) {
        let (node, caller) = (mount.node(node), request.caller)
        let (name, value) = (UnsafeRawBufferPointer(cString: name), UnsafeRawBufferPointer(start: value, count: count))
        request.change(node, on: mount, name, value) { fileSystem, name, value throws(FSError) in
            try fileSystem.setAttribute(node, name, value, flags: flags, for: caller)
            return .done
        }
    }

    private static func removeAttribute(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ name: Name) {
        let (node, caller) = (mount.node(node), request.caller)
        request.change(node, on: mount, UnsafeRawBufferPointer(cString: name)) { fileSystem, name, _ throws(FSError) in
            try fileSystem.removeAttribute(node, name, for: caller)
            return .done
        }
    }

    private static func synchronize(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ dataOnly: Int32, _ info: FileInfo
    ) {
        let (node, handle) = (mount.node(node), info?.pointee.fh ?? 0)
        request.work(on: mount) { fileSystem, _, _ throws(FSError) in
            try fileSystem.synchronize(node, handle: handle, dataOnly: dataOnly != 0)
            return .done
        }
    }

    private static func seek(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ offset: off_t, _ whence: Int32,
        _ info: FileInfo
    ) {
        guard let offset = UInt64(exactly: offset) else { return request.reply(.system(ENXIO)) }
        let (node, handle) = (mount.node(node), info?.pointee.fh ?? 0)
        do throws(FSError) {
            let place = try mount.fileSystem.seek(node, handle: handle, from: offset, whence: whence)
            request.reply(.place(place))
        } catch .unsupported {
            seekWithoutHoles(request, mount, node, offset, whence)
        } catch { request.reply(error) }
    }

    /// A file without known holes is data throughout, with a hole at its end (lseek(2)).
    private static func seekWithoutHoles(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: NodeID, _ offset: UInt64, _ whence: Int32
    ) {
        request.replyLater(on: mount) { fileSystem async throws(FSError) in
            let size =
                switch try fileSystem.attributes(node) {
                case .ready(let entry): entry.attributes.size
                case .cold: try await fileSystem.coldAttributes(node).attributes.size
                }
            guard offset < size else { throw .system(ENXIO) }
            return .place(whence == SeekKind.hole ? size : offset)
        }
    }
}

/// SEEK_DATA and SEEK_HOLE of linux/fs.h, which glibc shows with _GNU_SOURCE only.
private enum SeekKind {
    static let hole: Int32 = 4
}

extension FileSystem {
    /// Takes set-id bits away, as truncating a file does for whoever may not keep them.
    func removePrivileges(_ node: NodeID, handle: UInt64?, for caller: Caller) throws(FSError) -> Entry {
        var change = AttributeChange()
        change.size = 0
        change.killsPrivileges = true
        return try setAttributes(node, handle: handle, change, for: caller)
    }
}
