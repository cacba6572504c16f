import Archive
import Glibc

// What checkpoints cost in the stream: decompresses each file with and without, and prints the least CPU nanoseconds of each way.
//
//   checkpoints ROUNDS SPACING FILE...

final class FileReader: ByteReader {
    let descriptor: Int32

    init(_ path: String) {
        descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { fatalError("\(path) cannot be opened") }
    }

    deinit { close(descriptor) }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        guard count >= 0 else { fatalError("read fails") }
        return count
    }
}

func cpuNanoseconds(_ body: () throws -> Void) rethrows -> Int {
    func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
    let begun = now()
    try body()
    return now() - begun
}

func drain(_ reader: any ByteReader) throws {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    defer { block.deallocate() }
    while try reader.read(into: block) > 0 {}
}

@main
struct Checkpoints {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count > 3, let rounds = Int(arguments[1]), let spacing = UInt64(arguments[2]) else { fatalError("usage: checkpoints ROUNDS SPACING FILE...") }
        var plain = Int.max, cut = Int.max
        for _ in 0..<rounds {
            plain = min(plain, try cpuNanoseconds { for file in arguments[3...] { try drain(LayerReader(FileReader(file))) } })
            cut = min(cut, try cpuNanoseconds { for file in arguments[3...] { try drain(LayerReader(FileReader(file), cutsEvery: spacing) { _ in }) } })
        }
        print(plain, cut)
    }
}
