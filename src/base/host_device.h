/* Marks a function that is compiled for the CPU and for CUDA alike. */
#ifndef IMGTRAIN_BASE_HOST_DEVICE_H
#define IMGTRAIN_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

#endif
