import CPosixMachine
import Glibc

extension Worker {
    mutating func directories(_ operation: Operation) -> Answer {
        switch operation.kind {
        case .list:
            guard let stream = open(operation) else { return .failure() }
            defer { closedir(stream) }
            return Self.listing(stream)
        case .openDirectory:
            guard let stream = open(operation) else { return .failure() }
            if let old = streams[operation.handle] { closedir(old) }
            streams[operation.handle] = stream
            return Answer("ok")
        case .listOpen:
            guard let stream = streams[operation.handle] else { return Answer("empty") }
            rewinddir(stream)
            return Self.listing(stream)
        case .seekDirectory:
            guard let stream = streams[operation.handle] else { return Answer("empty") }
            return seek(stream, Int(operation.a))
        case .closeDirectory:
            guard let stream = streams[operation.handle] else { return Answer("empty") }
            streams[operation.handle] = nil
            return .result(closedir(stream))
        case .chdir: return .result(Self.withPath(operation.path) { Glibc.chdir($0) })
        case .fchdir: return .result(Glibc.fchdir(operation.a == 0 ? handle(operation.handle) : top))
        case .getcwd:
            var buffer = [CChar](repeating: 0, count: 8192)
            guard Glibc.getcwd(&buffer, buffer.count) != nil else { return .failure() }
            return Answer(Text.name(buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }))
        default:
            become(ordinary: false)
            var answer = Answer("tree")
            TreeListing.add(top, prefix: "", to: &answer)
            return answer
        }
    }

    private func open(_ operation: Operation) -> OpaquePointer? {
        let fd = Self.withPath(operation.path) { pm_open(base(operation.base), $0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
        guard fd >= 0 else { return nil }
        return fdopendir(fd)
    }

    /// Names, types and inode numbers in order of name: the order of a directory is nobody's promise.
    private static func listing(_ stream: OpaquePointer) -> Answer {
        var found: [(name: [UInt8], text: String)] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: UInt8.self, capacity: 256) { Array(UnsafeBufferPointer(start: $0, count: strlen($0.withMemoryRebound(to: CChar.self, capacity: 256) { $0 }))) } }
            // ".." of the top differs by where the machine runs; the numbers of entries are checked where they are looked at.
            found.append((name, "\(Text.name(name)):\(entry.pointee.d_type)"))
        }
        guard errno == 0 else { return .failure() }
        found.sort { $0.name.lexicographicallyPrecedes($1.name) }
        return Answer("ok " + found.map(\.text).joined(separator: " "))
    }

    /// A position that telldir gave leads to the same entries that followed it.
    private func seek(_ stream: OpaquePointer, _ steps: Int) -> Answer {
        func names() -> [ino_t] {
            var found: [ino_t] = []
            while let entry = readdir(stream) { found.append(entry.pointee.d_ino) }
            return found
        }
        rewinddir(stream)
        errno = 0
        var passed = 0
        while passed < steps, readdir(stream) != nil { passed += 1 }
        let position = telldir(stream)
        let first = names()
        seekdir(stream, position)
        let second = names()
        guard errno == 0 else { return .failure() }
        return Answer("\(passed)+\(first.count) \(first == second ? "same" : "other: \(first) \(second)")")
    }
}

/// A whole tree as text: names in order, all attributes, contents by hash.
enum TreeListing {
    static func add(_ directory: Int32, prefix: String, to answer: inout Answer) {
        let listed = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listed >= 0, let stream = fdopendir(listed) else { return answer.add("\n\(prefix) \(Answer.errorName(errno))") }
        var names: [[UInt8]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: UInt8.self, capacity: 256) { start in Array(UnsafeBufferPointer(start: start, count: 256).prefix { $0 != 0 }) }
            }
            if name != [0x2e] && name != [0x2e, 0x2e] { names.append(name) }
        }
        closedir(stream)
        names.sort { $0.lexicographicallyPrecedes($1) }
        for name in names { Worker.withPath(name) { add(directory, $0, path: prefix + Text.name(name), to: &answer) } }
    }

    private static func add(_ directory: Int32, _ name: UnsafePointer<CChar>, path: String, to answer: inout Answer) {
        var status = pm_status()
        guard pm_stat(directory, name, AT_SYMLINK_NOFOLLOW, &status) == 0 else { return answer.add("\n\(path) \(Answer.errorName(errno))") }
        answer.add("\n\(path)")
        answer.add(status)
        let type = status.mode & UInt32(S_IFMT)
        if type == UInt32(S_IFLNK) {
            var buffer = [UInt8](repeating: 0, count: 5000)
            let count = readlinkat(directory, name, &buffer, buffer.count)
            answer.add(count < 0 ? Answer.errorName(errno) : Text.name(buffer.prefix(count)))
        }
        guard type == UInt32(S_IFDIR) || type == UInt32(S_IFREG) else { return }
        let fd = pm_open(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0)
        guard fd >= 0 else { return answer.add(Answer.errorName(errno)) }
        defer { close(fd) }
        addAttributes(fd, to: &answer)
        if type == UInt32(S_IFDIR) { add(fd, prefix: path + "/", to: &answer) } else { answer.add(content(fd)) }
    }

    private static func addAttributes(_ fd: Int32, to answer: inout Answer) {
        var list = [CChar](repeating: 0, count: 8192)
        let count = pm_listxattr(fd, nil, 0, &list, list.count)
        guard count > 0 else { return }
        for name in list.prefix(count).map({ UInt8(bitPattern: $0) }).split(separator: 0).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            var value = [UInt8](repeating: 0, count: 8192)
            let size = Worker.withPath(Array(name)) { pm_getxattr(fd, nil, 0, $0, &value, value.count) }
            answer.add("\(Text.name(name))=\(size < 0 ? Answer.errorName(errno) : Worker.digest(value.prefix(size)))")
        }
    }

    private static func content(_ fd: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        while true {
            let count = read(fd, &buffer, buffer.count)
            if count < 0 { return Answer.errorName(errno) }
            if count == 0 { return Text.hex(hash) }
            hash = buffer.withUnsafeBytes { Text.hash(UnsafeRawBufferPointer(rebasing: $0.prefix(count)), hash) }
        }
    }
}
